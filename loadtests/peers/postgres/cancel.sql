WITH cancelled AS (
    UPDATE hold SET state = 'X' WHERE id = $1 AND state = 'H' RETURNING sku, quantity
)
UPDATE stock SET available = available + cancelled.quantity
FROM cancelled WHERE stock.sku = cancelled.sku
