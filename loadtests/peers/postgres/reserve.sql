-- $1 sku, $2 quantity, $3 request id. One row when held, none when there is not enough.
-- A repeated id breaks the primary key, which takes the decrement back with it.
WITH taken AS (
    UPDATE stock SET available = available - $2
    WHERE sku = $1 AND available >= $2
    RETURNING sku
)
INSERT INTO hold (id, sku, quantity, state) SELECT $3, sku, $2, 'H' FROM taken
