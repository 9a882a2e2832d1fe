//! Asks for memory ahead of its use, so that several look-ups wait for memory at the same time.

/// A cache line of the processors that this runs on; a larger one only makes some requests superfluous.
const LINE: usize = 64;

/// Asks for the line at a place, without waiting for it.
#[inline(always)]
pub(crate) fn line<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint: it reads nothing and cannot fault, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Asks for the line at a place and the three after it, whether or not they are used: cheaper than to find out.
#[inline(always)]
pub(crate) fn four_lines<T>(place: *const T) {
    let start = place.cast::<u8>();
    for n in 0..4 {
        line(start.wrapping_add(n * LINE));
    }
}

/// Asks for the first lines of a slice, at most `lines`.
#[inline(always)]
pub(crate) fn slice<T>(slice: &[T], lines: usize) {
    let bytes = std::mem::size_of_val(slice).min(lines * LINE);
    let start = slice.as_ptr().cast::<u8>();
    for at in (0..bytes).step_by(LINE) {
        line(start.wrapping_add(at));
    }
    if bytes > 0 {
        line(start.wrapping_add(bytes - 1));
    }
}
