//! Kernels for the widest vectors that the machine has, chosen at run time.

#[cfg(target_arch = "x86_64")]
use std::sync::atomic::{AtomicU8, Ordering};

/// Defines a function three times, for the build's own target, for AVX2 and FMA, and for AVX-512, and calls the
/// widest that the processor has; the body is written once, as loops that the compiler turns into vectors.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn plain($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma")]
                fn widest($($arg: $ty),*) $(-> $ret)? {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $ty),*) $(-> $ret)? {
                    plain($($arg),*)
                }
                match $crate::simd::width() {
                    // SAFETY: `width` has found the features that each of these is made for.
                    $crate::simd::Width::Avx512 => return unsafe { widest($($arg),*) },
                    // SAFETY: as above.
                    $crate::simd::Width::Avx2 => return unsafe { wide($($arg),*) },
                    $crate::simd::Width::Plain => {}
                }
            }
            plain($($arg),*)
        }
    };
}

pub(crate) use multiversion;

/// The whole number next to `v`, of two the even one, for numbers within ±2²². As vectors have it: `as` asks each number by itself
/// whether it is one and fits, which only AVX-512 has vectors for, if at all.
#[inline(always)]
pub(crate) fn nearest(v: f32) -> i32 {
    // So much leaves a float no room for a fraction.
    const SHIFT: f32 = 12_582_912.0;
    (v + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32
}

/// 0..1 as 0..255, rounded; what is outside is cut off.
#[inline(always)]
pub(crate) fn byte(v: f32) -> u8 {
    nearest((v * 255.0).clamp(0.0, 255.0)) as u8
}

/// What [`multiversion!`] makes versions for.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Width {
    Plain = 1,
    Avx2 = 2,
    Avx512 = 3,
}

/// The width in force; 0 before it is known.
#[cfg(target_arch = "x86_64")]
static WIDTH: AtomicU8 = AtomicU8::new(0);

/// The width in force. Asked at each call of a kernel, many of which are short: one load and one comparison.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn width() -> Width {
    #[cold]
    fn find() -> Width {
        let width = choose(std::env::var("BGREMOVE_SIMD").ok().as_deref(), widest());
        WIDTH.store(width as u8, Ordering::Relaxed);
        width
    }
    match WIDTH.load(Ordering::Relaxed) {
        1 => Width::Plain,
        2 => Width::Avx2,
        3 => Width::Avx512,
        _ => find(),
    }
}

/// The widest version that this processor can run.
#[cfg(target_arch = "x86_64")]
fn widest() -> Width {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx2, avx512) {
        (_, true) => Width::Avx512,
        (true, _) => Width::Avx2,
        _ => Width::Plain,
    }
}

/// What BGREMOVE_SIMD asks for, as far as the processor has it; the widest that it has, if it asks for nothing that is
/// known.
#[cfg(target_arch = "x86_64")]
fn choose(asked: Option<&str>, widest: Width) -> Width {
    let asked = match asked {
        Some("plain") => Width::Plain,
        Some("avx2") => Width::Avx2,
        _ => Width::Avx512,
    };
    asked.min(widest)
}

/// Gives what `f` gives, which has to be the same at each width that this processor has. The width is the whole
/// process's, so that the thread pool's threads have it, too; other tests may run meanwhile, since they get the same
/// at any width, as this shows.
#[cfg(test)]
#[track_caller]
pub(crate) fn same_at_each_width<T: PartialEq>(what: impl std::fmt::Display, f: impl Fn() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        use std::sync::Mutex;
        static ONE: Mutex<()> = Mutex::new(());
        struct Back(u8);
        impl Drop for Back {
            fn drop(&mut self) {
                WIDTH.store(self.0, Ordering::Relaxed);
            }
        }
        let _one = crate::sync::lock(&ONE);
        let _back = Back(width() as u8);
        let at = |width: Width| {
            WIDTH.store(width as u8, Ordering::Relaxed);
            f()
        };
        let plain = at(Width::Plain);
        for width in [Width::Avx2, Width::Avx512].into_iter().filter(|w| *w <= widest()) {
            assert!(at(width) == plain, "{what}: {width:?} gives something else than plain code");
        }
        plain
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = what;
        f()
    }
}

/// Runs in the thread pool, so that what runs side by side inside is handed over once and not part by part.
pub(crate) fn in_pool<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| f())
}

/// Marks the blocks, `side` columns each, in which `rows` of alpha (all of a block's rows, `width` each) are anything
/// but all 0 or all 255. `acc` is scratch.
pub(crate) fn unsettled(rows: &[u8], width: usize, side: usize, acc: &mut Vec<u8>, out: &mut [bool]) {
    acc.clear();
    acc.resize(width, 0);
    let first = &rows[..width];
    for row in rows[width..].chunks_exact(width) {
        differ(row, first, acc);
    }
    for ((first, acc), out) in first.chunks(side).zip(acc.chunks(side)).zip(out) {
        *out = any(first, acc);
    }
}

multiversion! {
    fn differ(row: &[u8], first: &[u8], acc: &mut [u8]) {
        for ((a, &r), &f) in acc.iter_mut().zip(row).zip(first) {
            *a |= r ^ f;
        }
    }
}

#[inline]
fn any(first: &[u8], acc: &[u8]) -> bool {
    let value = first[0];
    let differ = first.iter().zip(acc).fold(0, |d, (&f, &a)| d | a | (f ^ value));
    differ != 0 || (value != 0 && value != 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_whole_number_is_found() {
        for n in -40_000..40_000 {
            let v = n as f32;
            assert_eq!([nearest(v), nearest(v - 0.375), nearest(v + 0.375)], [n; 3]);
        }
        assert_eq!([-1.5, -0.5, 0.5, 1.5].map(nearest), [-2, 0, 0, 2]);
        assert_eq!([-4_194_304.0, 4_194_303.0].map(nearest), [-4_194_304, 4_194_303]);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_width_can_be_asked_for_and_is_never_more_than_there_is() {
        use Width::*;
        for (asked, widest, got) in [
            (None, Avx512, Avx512),
            (None, Plain, Plain),
            (Some("plain"), Avx512, Plain),
            (Some("avx2"), Avx512, Avx2),
            (Some("avx2"), Plain, Plain),
            (Some("avx512"), Avx2, Avx2),
            (Some("mmx"), Avx2, Avx2),
        ] {
            assert_eq!(choose(asked, widest), got, "{asked:?} of {widest:?}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn each_width_is_in_force_in_all_threads_and_a_difference_is_seen() {
        let seen = std::sync::Mutex::new(Vec::new());
        same_at_each_width("widths", || {
            let all = rayon::broadcast(|_| width());
            seen.lock().unwrap().push(all[0]);
            assert!(all.iter().all(|w| *w == all[0]));
        });
        let all = [Width::Plain, Width::Avx2, Width::Avx512].into_iter().filter(|w| *w <= widest());
        assert_eq!(*seen.lock().unwrap(), all.collect::<Vec<_>>());
        if widest() > Width::Plain {
            let differs = std::panic::catch_unwind(|| same_at_each_width("widths", width));
            assert!(differs.is_err());
        }
    }

    #[test]
    fn blocks_are_settled_where_all_of_them_is_one() {
        for (w, h, side) in [(1, 1, 4), (37, 5, 8), (64, 3, 16), (70, 1, 32)] {
            for seed in 0..40 {
                let value = |i: usize| if (i * 7919 + seed * 31).is_multiple_of(97) { 254 } else { 255 };
                let rows: Vec<u8> = (0..w * h).map(value).collect();
                let mut out = vec![false; w.div_ceil(side)];
                unsettled(&rows, w, side, &mut Vec::new(), &mut out);
                for (x, &got) in out.iter().enumerate() {
                    assert_eq!(got, (0..w * h).any(|i| i % w / side == x && rows[i] != 255), "{w}x{h} {x}");
                }
            }
        }
    }
}
