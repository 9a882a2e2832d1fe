//! What is built apart and dropped leaves nothing behind. Alone in its process: it looks at what that has in memory.

use bespeak_aside::{Allocator, apart};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

const MIB: usize = 1 << 20;

/// Kilobytes of the process's memory that the line of `/proc/self/smaps_rollup` tells.
fn kilobytes(line: &str) -> usize {
    let all = std::fs::read_to_string("/proc/self/smaps_rollup").expect("the process's memory");
    let line = all.lines().find_map(|at| at.strip_prefix(line));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.expect("a number").parse().expect("a number")
}

fn resident() -> usize {
    kilobytes("Rss:") << 10
}

/// Blocks of many sizes, `bytes` in all.
fn blocks(bytes: usize) -> Vec<Vec<u8>> {
    let mut left = bytes;
    let mut blocks = Vec::new();
    while left > 0 {
        let len = (1 + blocks.len() * 311 % 7001).min(left);
        left -= len;
        blocks.push(vec![1; len]);
    }
    blocks
}

#[test]
fn what_was_freed_is_given_back_each_time_though_others_allocate_meanwhile() {
    let kept = blocks(50 * MIB);
    drop(apart(|| blocks(MIB)));
    let before = resident();
    let mut kept_more = Vec::new();
    for round in 0..3 {
        let (most, made) = std::thread::scope(|scope| {
            let other = scope.spawn(|| blocks(20 * MIB));
            let made = apart(|| {
                let mut made: Vec<_> = (0..20).map(|_| blocks(10 * MIB)).collect();
                let most = resident();
                made.truncate(1);
                (most, made)
            });
            kept_more.push(other.join().expect("no panic"));
            made
        });
        assert!(
            most > before + 150 * MIB,
            "round {round}: it was never used"
        );
        drop(made);
        // Whoever comes next gives back what lived on.
        apart(|| ());
        let more = kept_more.len() * 20 * MIB;
        let after = resident();
        assert!(
            after < before + more * 5 / 4 + 8 * MIB,
            "round {round}: {before} bytes resident, {more} more kept, then {after}"
        );
    }
    assert_eq!(kept.iter().map(Vec::len).sum::<usize>(), 50 * MIB);
}
