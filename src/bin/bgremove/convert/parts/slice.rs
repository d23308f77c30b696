//! Which frames a part has: the same on every machine, since only the source's own times decide.

use super::ask::{Ask, Place, Share};
use super::frames::Frames;

/// The frames of a part, and what is decoded for their sake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its number, where it is one of so many.
    pub share: Option<Share>,
    /// Its frames, counted from 0 within the clip.
    pub first: u64,
    pub count: u64,
    /// Between the frame before and its first one, in nanoseconds of the clip; none at the clip's beginning.
    pub begin: Option<u64>,
    /// Between its last frame and the one after; none at the clip's end.
    pub end: Option<u64>,
    /// When its first frame is shown.
    pub time: u64,
    /// From where, and up to where frames are decoded; none is the clip's beginning or end.
    pub from: Option<u64>,
    pub until: Option<u64>,
    /// How many frames are inferred before the first one that is written.
    pub warm_up: u64,
    /// What the file's own clock says at the clip's beginning.
    pub shift: u64,
    /// Whether no more and no fewer frames than that are to come.
    pub exact: bool,
}

/// Chooses the frames. `before` are inferred and not written, and so are `after`, which the last ones look ahead at.
///
/// # Errors
/// There is no such part of it.
pub fn plan(ask: Ask, frames: &Frames, before: u64, after: u64) -> Result<Slice, String> {
    let all = frames.times.len();
    let (first, last) = match ask {
        Ask::Share(share) => {
            if share.of as usize > all {
                return Err(format!("it has {all} frames, which is too few for {} parts", share.of));
            }
            (boundary(frames, share.number - 1, share.of), boundary(frames, share.number, share.of))
        }
        Ask::Range(start, end) => {
            let index = |place, open| match place {
                Place::Open => open,
                Place::Frame(n) => usize::try_from(n).unwrap_or(all).min(all),
                // Times are given less exactly than files have them.
                Place::Time(t) => frames.times.partition_point(|f| f + 500_000 < t.nseconds()),
            };
            (index(start, 0), index(end, all))
        }
    };
    if first >= last {
        let end = frames.times.last().copied().unwrap_or(0) as f64 / 1e9;
        return Err(format!(
            "no frame of it lies in that range: it has {all} frames, the last one at {end:.3} s"
        ));
    }
    // Half way between two frames: however times are rounded, each lies on its side.
    let between = |n: usize| (n > 0 && n < all).then(|| frames.times[n - 1].midpoint(frames.times[n]));
    let warm = first - usize::try_from(before).unwrap_or(usize::MAX).min(first);
    let until = last.saturating_add(usize::try_from(after).unwrap_or(usize::MAX));
    Ok(Slice {
        share: if let Ask::Share(share) = ask { Some(share) } else { None },
        first: first as u64,
        count: (last - first) as u64,
        begin: between(first),
        end: between(last),
        time: frames.times[first],
        from: (warm > 0).then(|| frames.times[warm]),
        until: frames.times.get(until).copied(),
        warm_up: (first - warm) as u64,
        shift: frames.shift,
        exact: !frames.hidden,
    })
}

/// The first frame of the part after the `number`th: a key frame near the place that divides evenly, since encoders put
/// them at cuts and players begin there at once; else that place.
fn boundary(frames: &Frames, number: u32, of: u32) -> usize {
    let all = frames.times.len();
    let even = (all as u64 * u64::from(number) / u64::from(of)) as usize;
    if number == 0 || number == of {
        return even;
    }
    // No further than a quarter of a part, so that parts stay alike and none is empty.
    let reach = all / of as usize / 4;
    let after = frames.keys.partition_point(|k| *k < even);
    let near = frames.keys[..after].last().into_iter().chain(frames.keys.get(after)).copied();
    near.filter(|k| k.abs_diff(even) <= reach).min_by_key(|k| k.abs_diff(even)).unwrap_or(even)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(all: u64, keys: &[usize]) -> Frames {
        Frames { times: (0..all).map(|n| n * 40).collect(), keys: keys.to_vec(), ..Frames::default() }
    }

    fn share(number: u32, of: u32) -> Ask {
        Ask::Share(Share { number, of })
    }

    #[test]
    fn parts_meet_and_are_all() {
        for (all, keys) in
            [(100, &[0, 24, 52, 90][..]), (7, &[0]), (1801, &[0, 250, 500, 600, 1500]), (9, &[])]
        {
            let frames = frames(all, keys);
            for of in 1..=7 {
                let parts: Vec<_> = (1..=of).map(|k| plan(share(k, of), &frames, 3, 2).unwrap()).collect();
                assert_eq!(parts.iter().map(|p| p.count).sum::<u64>(), all, "{all} in {of}");
                assert_eq!((parts[0].begin, parts[of as usize - 1].end), (None, None));
                for two in parts.windows(2) {
                    assert_eq!(two[0].end, two[1].begin);
                    assert_eq!(two[0].first + two[0].count, two[1].first);
                    assert!(two[1].begin.is_some());
                }
            }
        }
        assert!(plan(share(1, 10), &frames(9, &[]), 3, 2).is_err_and(|e| e.contains("9 frames")));
    }

    #[test]
    fn key_frames_that_are_near_are_taken() {
        let frames = frames(100, &[0, 24, 52, 90]);
        let first = |k, of| plan(share(k, of), &frames, 0, 0).unwrap().first;
        assert_eq!((first(2, 4), first(3, 4), first(4, 4)), (24, 52, 75));
    }

    #[test]
    fn what_is_decoded_besides() {
        let frames = frames(100, &[]);
        let part = plan(share(2, 4), &frames, 10, 3).unwrap();
        assert_eq!((part.first, part.count, part.warm_up), (25, 25, 10));
        assert_eq!((part.begin, part.end), (Some(980), Some(1980)));
        assert_eq!((part.from, part.until, part.time), (Some(600), Some(2120), 1000));
        let first = plan(share(1, 4), &frames, 10, 3).unwrap();
        assert_eq!((first.from, first.until, first.warm_up), (None, Some(1120), 0));
        let last = plan(share(4, 4), &frames, 200, 3).unwrap();
        assert_eq!((last.from, last.until, last.warm_up), (None, None, 75));
    }

    #[test]
    fn ranges() {
        let frames = Frames { times: (0..100).map(|n| n * 40_000_000).collect(), ..Frames::default() };
        let of = |a, b| plan(Ask::Range(a, b), &frames, 0, 0).map(|s| (s.first, s.count));
        let time = |ms| Place::Time(gst::ClockTime::from_mseconds(ms));
        assert_eq!(of(Place::Frame(10), Place::Frame(20)), Ok((10, 10)));
        assert_eq!(of(Place::Frame(10), Place::Frame(2000)), Ok((10, 90)));
        assert_eq!(of(time(400), time(800)), Ok((10, 10)));
        assert_eq!(of(time(401), Place::Open), Ok((11, 89)));
        assert!(of(Place::Frame(100), Place::Open).is_err_and(|e| e.contains("100 frames")));
    }
}
