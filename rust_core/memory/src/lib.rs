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

fn set(option: mi_option_t, value: c_long) {
    // SAFETY: an index that there is. The value is one aligned word that the allocator reads each time: a thread that
    // reads it now finds the old value or the new one, and may go by either.
    unsafe { mi_option_set_default(option, value) }
}

#[cfg(test)]
mod tests {
    use std::ffi::{CStr, c_char, c_void};

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
