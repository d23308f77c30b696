//! Which part is asked for: a number and how many there are, both perhaps from the environment of a job, or a range.

use std::str::FromStr;

/// A part of a clip as one asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Share(Share),
    Range(Place, Place),
}

/// One of so many parts of about the same number of frames; counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub number: u32,
    pub of: u32,
}

/// Where a range begins, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Counted from 0.
    Frame(u64),
    Time(gst::ClockTime),
    /// The clip's beginning, or its end.
    Open,
}

/// So many parts are enough for anybody.
const MOST: u32 = 100_000;

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text, &|name| std::env::var(name).ok())
    }
}

impl Share {
    /// `K/N`, `auto/N`, or `auto` where the environment says how many there are, too.
    fn read(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let wrong = || "give K/N (3/7), or auto/N in an array job".to_string();
        let whole = |text: &str| text.parse::<u32>().ok().filter(|n| (1..=MOST).contains(n));
        let (number, of) = match text.split_once('/') {
            Some((number, of)) => (number, Some(whole(of).ok_or_else(wrong)?)),
            None => (text, None),
        };
        if number != "auto" {
            let (number, of) = (whole(number).ok_or_else(wrong)?, of.ok_or_else(wrong)?);
            return if number <= of {
                Ok(Self { number, of })
            } else {
                Err(format!("there is no part {number} of {of}: parts are counted from 1"))
            };
        }
        let job = job(environment)?;
        let of = match (of, job.of) {
            (Some(said), Some(tasks)) if tasks != said => {
                return Err(format!(
                    "{} runs {tasks} tasks, not {said}: give auto/{tasks}, or start {said}",
                    job.by
                ));
            }
            (said, tasks) => said
                .or(tasks)
                .ok_or_else(|| format!("{} does not say how many parts there are: give auto/N", job.by))?,
        };
        let number = job.index.checked_add(1).filter(|n| *n <= of).ok_or_else(|| {
            format!("{} says index {}, counted from 0, and there are {of} parts", job.by, job.index)
        })?;
        Ok(Self { number, of })
    }
}

/// What the environment of an array job says.
struct Job {
    by: &'static str,
    /// From 0.
    index: u32,
    of: Option<u32>,
}

fn job(environment: &dyn Fn(&str) -> Option<String>) -> Result<Job, String> {
    let number = |name: &str| match environment(name) {
        None => Ok(None),
        Some(text) => match text.trim().parse::<u32>() {
            Ok(n) => Ok(Some(n)),
            Err(_) => Err(format!("{name} is '{text}' and should be a number")),
        },
    };
    if let Some(index) = number("JOB_COMPLETION_INDEX")? {
        return Ok(Job { by: "Kubernetes", index, of: None });
    }
    if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
        // --array=1-7 and --array=0-6 are the same to us, as is one of every second number.
        let least = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        let count = number("SLURM_ARRAY_TASK_COUNT")?;
        // Of an array that somebody has picked by hand (--array=3,5) nobody knows which part is meant.
        let most = number("SLURM_ARRAY_TASK_MAX")?;
        let gaps = most.zip(count).is_some_and(|(m, c)| m.saturating_sub(least) / step + 1 != c);
        if least > 1 || gaps {
            return Err("the array does not begin at 0 or 1, or has gaps, so that its tasks are not all parts: start all \
                        of it (--array=1-7; --resume leaves alone what is there), or make one part again with --part K/N"
                .into());
        }
        let index = id.saturating_sub(least) / step;
        return Ok(Job { by: "Slurm", index, of: count });
    }
    if let Some(index) = number("AWS_BATCH_JOB_ARRAY_INDEX")? {
        return Ok(Job { by: "AWS Batch", index, of: number("AWS_BATCH_JOB_ARRAY_SIZE")? });
    }
    Err("auto takes the part's number from JOB_COMPLETION_INDEX (Kubernetes), SLURM_ARRAY_TASK_ID (Slurm) or \
         AWS_BATCH_JOB_ARRAY_INDEX (AWS Batch), and none of them is set: give K/N"
        .into())
}

impl Ask {
    /// `START..END`: whole numbers are frames, counted from 0; times have colons or an `s`. What is left out is the clip's
    /// beginning or end.
    pub fn range(text: &str, time: impl Fn(&str) -> Result<gst::ClockTime, String>) -> Result<Self, String> {
        let wrong = || "give START..END, in frames (120..240) or in time (4s..8s, 0:04..0:08)".to_string();
        let (start, end) = text.split_once("..").ok_or_else(wrong)?;
        let place = |text: &str| match text {
            "" => Ok(Place::Open),
            t if t.bytes().all(|b| b.is_ascii_digit()) => t.parse().map(Place::Frame).map_err(|_| wrong()),
            t if t.contains(':') => time(t).map(Place::Time),
            t => time(t.strip_suffix('s').ok_or_else(wrong)?).map(Place::Time),
        };
        let (start, end) = (place(start)?, place(end)?);
        if matches!((start, end), (Place::Frame(_), Place::Time(_)) | (Place::Time(_), Place::Frame(_))) {
            return Err(format!(
                "of {text} one end is a frame and the other a time: say both in time (4s..8s) or both in frames (120..240)"
            ));
        }
        let empty = match (start, end) {
            (Place::Frame(a), Place::Frame(b)) => a >= b,
            (Place::Time(a), Place::Time(b)) => a >= b,
            (_, Place::Frame(0)) => true,
            _ => false,
        };
        if empty {
            return Err(format!("nothing lies in {text}: it ends before it begins"));
        }
        Ok(Self::Range(start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<(u32, u32), String> {
        let find = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
        Share::read(text, &find).map(|s| (s.number, s.of))
    }

    #[test]
    fn parts_are_counted_from_one() {
        assert_eq!(read("3/7", &[]), Ok((3, 7)));
        for wrong in ["0/7", "8/7", "3", "3/", "/7", "a/b", "-1/7", "3/0", ""] {
            assert!(read(wrong, &[]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn engines_say_which_part() {
        let slurm = |id, min, max, count, step| {
            read(
                "auto",
                &[
                    ("SLURM_ARRAY_TASK_ID", id),
                    ("SLURM_ARRAY_TASK_MIN", min),
                    ("SLURM_ARRAY_TASK_MAX", max),
                    ("SLURM_ARRAY_TASK_COUNT", count),
                    ("SLURM_ARRAY_TASK_STEP", step),
                ],
            )
        };
        assert_eq!(slurm("1", "1", "7", "7", "1"), Ok((1, 7)));
        assert_eq!(slurm("6", "0", "6", "7", "1"), Ok((7, 7)));
        assert_eq!(slurm("3", "1", "5", "3", "2"), Ok((2, 3)));
        // --array=3,5, --array=1,3, and --array=1,2,4.
        for (id, min, max, count) in [("3", "3", "5", "2"), ("1", "1", "3", "2"), ("2", "1", "4", "3")] {
            assert!(slurm(id, min, max, count, "1").is_err_and(|e| e.contains("--part K/N")));
        }
        assert_eq!(read("auto/5", &[("JOB_COMPLETION_INDEX", "4")]), Ok((5, 5)));
        let aws = [("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "3")];
        assert_eq!(read("auto", &aws), Ok((1, 3)));
        assert!(read("auto/4", &aws).is_err_and(|e| e.contains("AWS Batch runs 3")));
        assert!(read("auto", &[("JOB_COMPLETION_INDEX", "4")]).is_err_and(|e| e.contains("auto/N")));
        assert!(read("auto/4", &[("JOB_COMPLETION_INDEX", "4")]).is_err_and(|e| e.contains("index 4")));
        assert!(read("auto/4", &[("JOB_COMPLETION_INDEX", "x")]).is_err_and(|e| e.contains("'x'")));
        assert!(read("auto/4", &[]).is_err_and(|e| e.contains("SLURM_ARRAY_TASK_ID")));
    }

    #[test]
    fn ranges_are_of_frames_or_of_time() {
        let time =
            |t: &str| t.parse::<f64>().map(gst::ClockTime::from_seconds_f64).map_err(|e| e.to_string());
        let read = |text| Ask::range(text, time);
        assert_eq!(read("12..30"), Ok(Ask::Range(Place::Frame(12), Place::Frame(30))));
        assert_eq!(read("..30"), Ok(Ask::Range(Place::Open, Place::Frame(30))));
        let second = Place::Time(gst::ClockTime::from_mseconds(1500));
        assert_eq!(read("1.5s.."), Ok(Ask::Range(second, Place::Open)));
        for wrong in ["12", "30..12", "5..5", "2s..1s", "1.5..2.5", "a..b", "..0", "4..8s", "4s..8"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
