//! Request ids of the orders of one request.

/// The id of an order's own write. The same request and order give the same id; of a version 7 id it has the time, so
/// that the engine knows how old it is.
pub fn of_order(request: u128, order: &str) -> u128 {
    let mut hash = blake3::Hasher::new();
    hash.update(b"bespeak allocation order");
    hash.update(&request.to_be_bytes());
    hash.update(order.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    let random = u128::from_be_bytes(first);
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0b11 << 62;
    const TIME: u128 = !0 << 80;
    let shaped = (random & !VERSION & !VARIANT) | (0b10 << 62);
    match bespeak_engine::uuid7_time(request) {
        Some(_) => (request & TIME) | (shaped & !TIME) | (7 << 76),
        None => shaped | (8 << 76),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_the_age_of_its_request() {
        let made_now = 0x0193_6f2e_8c1a_7b3e_9d4f_0123_4567_89ab_u128;
        let one = of_order(made_now, "a");
        assert_eq!(
            bespeak_engine::uuid7_time(one),
            bespeak_engine::uuid7_time(made_now)
        );
        assert_eq!(one, of_order(made_now, "a"));
        assert_ne!(one, of_order(made_now, "b"));
        assert_ne!(one, of_order(made_now + 1, "a"));
        let plain = 0x0193_6f2e_8c1a_4b3e_9d4f_0123_4567_89ab_u128;
        let other = of_order(plain, "a");
        assert_eq!(bespeak_engine::uuid7_time(other), None);
        assert_eq!((other >> 76) & 0xf, 8);
        assert_eq!((other >> 62) & 0b11, 0b10);
    }

    #[test]
    fn ids_of_many_orders_differ() {
        let ids: std::collections::HashSet<u128> =
            (0..10_000).map(|n| of_order(77, &n.to_string())).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
