"""Takes stock, receipts and orders from files: read, check row by row, then send in batches."""
