//! The allocator of every program of ours, and how it gives memory back to the system.
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

/// Index of mimalloc's option `allow_thp`. The bindings lack its name, and an index means what it means for one
/// number of options only.
const ALLOW_THP: libmimalloc_sys::mi_option_t = 43;
const _: () = assert!(
    libmimalloc_sys::_mi_option_last == 47,
    "look up ALLOW_THP again"
);

/// Huge pages are asked for, and given back as a whole or not at all.
const WHOLE: std::ffi::c_long = 2;

/// Has memory given back in whole huge pages; mimalloc by itself gives back pieces of 64 KiB, and each splits the huge
/// page that it lies in. Where the process was started with `MIMALLOC_ALLOW_THP`, that holds.
pub fn keep_huge_pages_whole() {
    // SAFETY: an index that there is; options may be set at any time, by any thread.
    unsafe { libmimalloc_sys::mi_option_set_default(ALLOW_THP, WHOLE) }
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
    fn the_option_that_is_set_is_the_one_that_is_meant() {
        super::keep_huge_pages_whole();
        let told = options();
        let set = told.lines().find(|line| line.contains("'allow_thp'"));
        assert_eq!(
            set.map(str::trim_end),
            Some("option 'allow_thp': 2"),
            "{told}"
        );
    }
}
