//! A region of address space that only those allocate in who run in it.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

// The static library comes with it; of these functions it has no declarations that fit. Setting a thread's default has a
// public name as well, which no version up to 3.3 defines: this crate asks for the one version that it was tested with.
use libmimalloc_sys as _;

/// mimalloc's heaps: one of all threads in a region (`mi_heap_t`), and each thread's part of it (`mi_theap_t`).
type Heap = *mut c_void;
type ThreadHeap = *mut c_void;

unsafe extern "C" {
    fn mi_reserve_os_memory_ex(
        size: usize,
        commit: bool,
        allow_large: bool,
        exclusive: bool,
        arena: *mut *mut c_void,
    ) -> c_int;
    fn mi_heap_new_in_arena(arena: *mut c_void) -> Heap;
    fn mi_heap_theap(heap: Heap) -> ThreadHeap;
    fn mi_theap_get_default() -> ThreadHeap;
    fn _mi_theap_default_set(theap: ThreadHeap);
    fn mi_theap_collect(theap: ThreadHeap, force: bool);
}

thread_local! {
    /// Where this thread allocated before it entered a region; null outside of one.
    static OUTSIDE: Cell<ThreadHeap> = const { Cell::new(null_mut()) };
}

/// Never given back: its addresses are used again by whoever runs in it next.
pub struct Region {
    heap: Heap,
}

// SAFETY: the heap of a region may be asked for a thread's part of it by any thread.
unsafe impl Send for Region {}
// SAFETY: as above, by several at once.
unsafe impl Sync for Region {}

/// New addresses for one arena.
fn map(bytes: usize, at_once: bool) -> Option<*mut c_void> {
    let mut arena = null_mut();
    // SAFETY: the arena's place is valid for the call, which only maps new addresses.
    let failed = unsafe { mi_reserve_os_memory_ex(bytes, at_once, at_once, true, &mut arena) };
    (failed == 0 && !arena.is_null()).then_some(arena)
}

impl Region {
    /// `None` where the system refuses so many addresses, or a heap in them.
    pub fn reserve(bytes: usize) -> Option<Self> {
        // Writable at once, so that nothing in it changes the address space, for which others would wait, and on large
        // pages. Where so much may not be promised: made writable as it is used.
        let arena = map(bytes, true).or_else(|| map(bytes, false))?;
        // SAFETY: the arena is one that was just made, and is never unloaded.
        let heap = unsafe { mi_heap_new_in_arena(arena) };
        (!heap.is_null()).then_some(Self { heap })
    }

    /// Runs `work` with what it allocates in the region, then gives back what of it is free.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        if !OUTSIDE.get().is_null() {
            return work();
        }
        // SAFETY: the heap is never deleted, so this thread's part of it lives as long as the thread.
        let inside = unsafe { mi_heap_theap(self.heap) };
        // SAFETY: it only looks at what is this thread's.
        OUTSIDE.set(unsafe { mi_theap_get_default() });
        // SAFETY: `inside` is of this thread.
        unsafe { _mi_theap_default_set(inside) };
        let entered = Entered { inside };
        let done = work();
        drop(entered);
        done
    }
}

/// Leaves the region also when the work panics.
struct Entered {
    inside: ThreadHeap,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if !leave() {
            tracing::warn!(
                "what was built apart did not fit its region, and leaves gaps in memory"
            );
        }
        // SAFETY: `inside` is of this thread, which runs in it no more.
        unsafe { mi_theap_collect(self.inside, true) };
    }
}

/// Lets this thread allocate where it did before it entered a region. Whether it was in one.
pub fn leave() -> bool {
    let outside = OUTSIDE.replace(null_mut());
    if outside.is_null() {
        return false;
    }
    // SAFETY: what was this thread's before is its own, and lives as long as it.
    unsafe { _mi_theap_default_set(outside) };
    true
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[global_allocator]
    static ALLOCATOR: crate::Allocator = crate::Allocator;

    const MIB: usize = 1 << 20;

    unsafe extern "C" {
        fn mi_heap_contains(heap: Heap, block: *const c_void) -> bool;
    }

    impl Region {
        fn holds<T>(&self, data: &[T]) -> bool {
            // SAFETY: both are valid.
            unsafe { mi_heap_contains(self.heap, data.as_ptr().cast()) }
        }
    }

    fn region(bytes: usize) -> Region {
        Region::reserve(bytes).expect("a region")
    }

    fn some(byte: u8) -> Vec<u8> {
        vec![byte; 100]
    }

    /// Blocks of many sizes, `bytes` in all, each filled with its number.
    fn blocks(bytes: usize) -> Vec<Vec<usize>> {
        let mut left = bytes / size_of::<usize>();
        let mut blocks = Vec::new();
        while left > 0 {
            let n = blocks.len();
            let len = (1 + n * 37 % 900).min(left);
            left -= len;
            blocks.push(vec![n; len]);
        }
        blocks
    }

    fn check(blocks: &[Vec<usize>]) {
        for (n, block) in blocks.iter().enumerate() {
            assert!(block.iter().all(|word| *word == n), "block {n}");
        }
    }

    #[test]
    fn only_what_is_made_inside_lies_inside_and_may_live_on() {
        let region = region(64 * MIB);
        let before = some(1);
        let made = region.run(|| some(2));
        let after = some(3);
        assert!(region.holds(&made));
        assert!(!region.holds(&before) && !region.holds(&after));
        let other = std::thread::spawn(move || made.iter().all(|byte| *byte == 2));
        assert!(other.join().expect("no panic"));
    }

    #[test]
    fn only_the_thread_that_runs_in_it_is_inside() {
        let region = region(64 * MIB);
        region.run(|| {
            let other =
                std::thread::scope(|scope| scope.spawn(|| some(1)).join().expect("no panic"));
            assert!(!region.holds(&other));
        });
    }

    #[test]
    fn inside_stays_inside_and_a_panic_leaves() {
        let region = region(64 * MIB);
        region.run(|| {
            region.run(|| ());
            assert!(region.holds(&some(1)));
        });
        let panicked = catch_unwind(AssertUnwindSafe(|| region.run(|| panic!("on purpose"))));
        assert!(panicked.is_err());
        assert!(!region.holds(&some(1)));
    }

    #[test]
    fn a_thread_that_enters_a_full_region_is_outside() {
        let region = region(64 * MIB);
        let kept = region.run(|| blocks(200 * MIB));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let made = region.run(|| {
                    let made = blocks(20 * MIB);
                    region.run(|| check(&made));
                    made
                });
                check(&made);
                assert!(!region.holds(made.last().expect("blocks")));
            });
            other.join().expect("no panic");
        });
        check(&kept);
    }

    #[test]
    fn what_outlives_its_thread_is_freed_by_others_and_its_place_used_again() {
        let region = region(64 * MIB);
        for round in 0..20 {
            let made = std::thread::scope(|scope| {
                let thread = scope.spawn(|| region.run(|| blocks(20 * MIB)));
                thread.join().expect("no panic")
            });
            assert!(region.holds(made.last().expect("blocks")), "round {round}");
            check(&made);
            std::thread::spawn(move || drop(made))
                .join()
                .expect("no panic");
        }
    }

    #[test]
    fn what_does_not_fit_lies_outside() {
        let region = region(64 * MIB);
        let (made, long) = region.run(|| {
            let mut long = vec![7_usize];
            let made = blocks(200 * MIB);
            long.extend(std::iter::repeat_n(7, 32 * MIB / size_of::<usize>()));
            (made, long)
        });
        assert!(region.holds(&made[0]) && !region.holds(made.last().expect("blocks")));
        check(&made);
        assert!(!region.holds(&long) && long.iter().all(|word| *word == 7));
        let zeros = region.run(|| vec![0_u8; 100 * MIB]);
        assert!(!region.holds(&zeros) && zeros.iter().all(|byte| *byte == 0));
    }
}
