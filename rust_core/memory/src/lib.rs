//! The allocator of the server, the extension and the programs that measure them, and how it gives memory back to the
//! system.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: bespeak_memory::Allocator = bespeak_memory::Allocator;
//!
//! fn main() {
//!     bespeak_memory::keep_huge_pages_whole();
//! }
//! ```

pub use mimalloc::MiMalloc as Allocator;

use std::ffi::c_long;

use libmimalloc_sys::{_mi_option_last, mi_option_set_default, mi_option_t};

/// Indexes of mimalloc's options, of which the bindings lack these names. Another number of options stops the build, if
/// the bindings tell it; a test asks mimalloc itself for the names.
const PURGE_DELAY: mi_option_t = 15;
const ALLOW_THP: mi_option_t = 43;
const _: () = assert!(_mi_option_last == 47, "look up the indexes again");

/// Of `allow_thp`: huge pages are asked for, and given back as a whole or not at all.
const WHOLE: c_long = 2;
/// Of `purge_delay`.
const NEVER: c_long = -1;
/// Bytes that are asked for at a time: sixteen of them fill what the allocator cuts for values of this size without a
/// rest, so that nothing between them stays untouched.
const BLOCK: usize = 256 << 10;
/// No page is smaller.
const PAGE: usize = 4 << 10;

/// Has memory given back in whole huge pages; mimalloc by itself gives back pieces of 64 KiB, and each splits the huge
/// page that it lies in. Where the process was started with `MIMALLOC_ALLOW_THP`, that holds.
pub fn keep_huge_pages_whole() {
    set(ALLOW_THP, WHOLE);
}

/// Has memory that was taken once kept for what comes next, for a process that is a server: the next snapshot finds
/// what the last one needed, and neither takes it from the system again nor breaks huge pages up. It holds for the whole
/// process and for good. Where the process was started with `MIMALLOC_PURGE_DELAY`, that holds.
pub fn keep_all() {
    set(PURGE_DELAY, NEVER);
}

/// Takes so many bytes from the system, touches each page of them, and keeps them for what comes next, which
/// [`keep_all`] must have been called for. A system, and more so the host of a virtual machine, gives a page when it is
/// touched first, and whoever touches it waits for that: milliseconds for a huge page on some hosts.
pub fn touch(bytes: u64) {
    let mut blocks = Vec::new();
    for _ in 0..bytes.div_ceil(BLOCK as u64) {
        let mut block: Vec<u8> = Vec::with_capacity(BLOCK);
        for page in block.spare_capacity_mut().chunks_mut(PAGE) {
            page[0].write(0);
        }
        blocks.push(std::hint::black_box(block));
    }
}

fn set(option: mi_option_t, value: c_long) {
    // SAFETY: an index that there is. The value is one aligned word that the allocator reads each time: a thread that
    // reads it now finds the old value or the new one, and may go by either.
    unsafe { mi_option_set_default(option, value) }
}

#[cfg(test)]
mod tests {
    use std::ffi::{CStr, c_char, c_void};

    #[global_allocator]
    static ALLOCATOR: super::Allocator = super::Allocator;

    unsafe extern "C" {
        fn mi_options_print_out(out: extern "C" fn(*const c_char, *mut c_void), told: *mut c_void);
    }

    extern "C" fn note(text: *const c_char, told: *mut c_void) {
        // SAFETY: mimalloc's text ends in zero; `told` is the string of `options`, which nobody else has now.
        let (text, told) = unsafe { (CStr::from_ptr(text), &mut *told.cast::<String>()) };
        told.push_str(&text.to_string_lossy());
    }

    fn options() -> String {
        let mut told = String::new();
        // SAFETY: `note` is called before this returns, with what it was given here.
        unsafe { mi_options_print_out(note, (&raw mut told).cast()) };
        told
    }

    /// Pages that the calling thread had to ask the system for.
    fn faults() -> i64 {
        // SAFETY: of numbers, of which each may be zero.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: it writes the structure that it is given.
        let failed = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) } != 0;
        assert!(!failed);
        usage.ru_minflt
    }

    /// 32 MiB of values of many sizes, and what it took to hold them.
    fn values() -> (Vec<Vec<u8>>, i64) {
        let before = faults();
        let values = (0..40_000).map(|n| vec![7; 16 + n % 1_600]).collect();
        (values, faults() - before)
    }

    #[test]
    fn values_lie_in_memory_that_was_touched() {
        super::keep_all();
        let (held, untouched) = values();
        super::touch(128 << 20);
        let (_, touched) = values();
        drop(held);
        assert!(untouched >= 16, "{untouched}: huge pages at most");
        assert!(4 * touched < untouched, "{touched} of {untouched}");
    }

    #[test]
    fn the_options_that_are_set_are_those_that_are_meant() {
        super::keep_huge_pages_whole();
        super::keep_all();
        let told = options();
        for wanted in ["option 'allow_thp': 2", "option 'purge_delay': -1"] {
            let set = told.lines().any(|line| line.trim_end() == wanted);
            assert!(set, "no {wanted} in\n{told}");
        }
    }
}
