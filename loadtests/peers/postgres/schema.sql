-- Fill factor and no index on the changing columns keep updates in their page (HOT).
CREATE TABLE stock (
    sku integer PRIMARY KEY,
    available integer NOT NULL CHECK (available >= 0)
) WITH (fillfactor = 50);

CREATE TABLE hold (
    id uuid PRIMARY KEY,
    sku integer NOT NULL,
    quantity integer NOT NULL,
    state "char" NOT NULL
) WITH (fillfactor = 70);
