//! Memory of a process that promises: its allocator, and memory apart for what is built once and dropped as a whole.

mod region;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;
use std::sync::OnceLock;

use mimalloc::MiMalloc;

use region::Region;

/// Address space for what is built apart, 12 GiB: a state of 14 million positions. It costs nothing until it is used. What
/// does not fit comes from where all else does, and so does all that the same work allocates after it. mimalloc refuses a region of 16 GiB.
const REGION_BYTES: usize = 12 << 30;

static REGION: OnceLock<Option<Region>> = OnceLock::new();

/// The allocator: mimalloc, whose regions are on large pages without being asked.
pub struct Allocator;

/// Runs `work` with all that its thread allocates in a region of its own, if [`Allocator`] is the program's. What `work`
/// has freed goes back to the system when it ends: were it mixed with what stays, each gap that it leaves in a large page would
/// be filled by the kernel sooner or later, and counted as used. What `work` returns may
/// live on, and be freed by any thread; it goes back when the region is used again, or when other memory does.
pub fn apart<T>(work: impl FnOnce() -> T) -> T {
    let reserve = || {
        let region = Region::reserve(REGION_BYTES);
        if region.is_none() {
            tracing::warn!("no addresses for a region apart: snapshots will leave gaps in memory");
        }
        region
    };
    match REGION.get_or_init(reserve) {
        Some(region) => region.run(work),
        None => work(),
    }
}

/// For a request that got no memory: with the region of this thread full, the process may still have some.
#[cold]
fn elsewhere(ask: impl FnOnce() -> *mut u8) -> *mut u8 {
    if region::leave() { ask() } else { null_mut() }
}

// SAFETY: each call is handed on to mimalloc as it came. A null pointer is handed on as well, or answered with a second
// call that is the same, which is sound after a failed one: nothing was allocated, freed or moved.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller has promised.
        let got = unsafe { MiMalloc.alloc(layout) };
        if got.is_null() {
            // SAFETY: as above.
            return elsewhere(|| unsafe { MiMalloc.alloc(layout) });
        }
        got
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller has promised.
        let got = unsafe { MiMalloc.alloc_zeroed(layout) };
        if got.is_null() {
            // SAFETY: as above.
            return elsewhere(|| unsafe { MiMalloc.alloc_zeroed(layout) });
        }
        got
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller has promised.
        let got = unsafe { MiMalloc.realloc(block, layout, size) };
        if got.is_null() {
            // SAFETY: as above; the block is as it was.
            return elsewhere(|| unsafe { MiMalloc.realloc(block, layout, size) });
        }
        got
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller has promised.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}
