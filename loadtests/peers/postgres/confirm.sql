UPDATE hold SET state = 'C' WHERE id = $1 AND state = 'H'
