//! The values of options, read from their texts.

use super::parts::Ask;

/// Seconds, or `[H:]M:S`.
pub fn time(text: &str) -> Result<gst::ClockTime, String> {
    let wrong = || "give seconds (12.5) or [HOURS:]MINUTES:SECONDS (1:02.5)".to_string();
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return Err(wrong());
    }
    let mut seconds = 0.0;
    for part in &parts {
        let plain = part.chars().all(|c| c.is_ascii_digit() || c == '.');
        let value: f64 = part.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
        seconds = seconds * 60.0 + value;
    }
    if seconds > 1e9 {
        return Err(wrong());
    }
    Ok(gst::ClockTime::from_nseconds((seconds * 1e9).round() as u64))
}

/// A range, and the text that it was read from.
pub fn range(text: &str) -> Result<(String, Ask), String> {
    Ask::range(text, time).map(|ask| (text.into(), ask))
}

/// Width and height of a frame that bgremove takes.
pub fn size(text: &str) -> Result<(u32, u32), String> {
    let wrong = || "give WIDTHxHEIGHT in pixels, each 16 to 8192: 1280x720".to_string();
    let (w, h) = text.split_once(['x', '×']).ok_or_else(wrong)?;
    let side = |s: &str| s.parse::<u32>().ok().filter(|v| (16..=8192).contains(v)).ok_or_else(wrong);
    Ok((side(w)?, side(h)?))
}

pub fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value))
            if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !name.is_empty() =>
        {
            Ok((name.into(), value.into()))
        }
        _ => Err("give NAME=VALUE, as in refine=fast".into()),
    }
}

pub fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|s: &f64| (0.0..=1e9).contains(s))
        .ok_or_else(|| "give seconds, 0 or more".into())
}

pub fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=256).contains(n)).ok_or_else(|| "give a number, 1 to 256".into())
}
