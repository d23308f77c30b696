//! Alpha multiplied into the colours, for programs that want a MOV file so.

use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoColorRange, VideoFrameRef, VideoInfo};

/// Multiplies the alpha of each frame that reaches an encoder into its colours: A444 with ten bits, little end first, as
/// ProRes takes it. Of YUV that is the same as of RGB, since each is linear in the other about black.
pub fn each_frame(encoder: &gst::Element) {
    let Some(sink) = encoder.static_pad("sink") else { return };
    sink.add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        let caps = pad.current_caps().and_then(|caps| VideoInfo::from_caps(&caps).ok());
        let Some(video) = caps.filter(|i| i.format() == gst_video::VideoFormat::A44410le) else {
            return gst::PadProbeReturn::Ok;
        };
        if let Some(buffer) = info.buffer_mut()
            && let Ok(mut frame) = VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), &video)
        {
            let full = video.colorimetry().range() == VideoColorRange::Range0_255;
            let (width, height) = (video.width() as usize, video.height() as usize);
            let strides = frame.plane_stride().to_vec();
            let Ok(alpha) = frame.plane_data(3).map(<[u8]>::to_vec) else { return gst::PadProbeReturn::Ok };
            for (plane, black) in [if full { 0 } else { 64 }, 512, 512].into_iter().enumerate() {
                let (stride, alpha_stride) = (strides[plane] as usize, strides[3] as usize);
                let Ok(data) = frame.plane_data_mut(plane as u32) else { continue };
                let rows = data.chunks_mut(stride).zip(alpha.chunks(alpha_stride)).take(height);
                rows.for_each(|(row, alpha)| multiply(&mut row[..2 * width], &alpha[..2 * width], black));
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// `black + (v − black) · alpha`, to nearest; samples and alpha of ten bits.
fn multiply(row: &mut [u8], alpha: &[u8], black: i32) {
    let (row, alpha) = (row.as_chunks_mut::<2>().0, alpha.as_chunks::<2>().0);
    for (v, a) in row.iter_mut().zip(alpha) {
        let (value, a) =
            (i32::from(u16::from_le_bytes(*v)) - black, i32::from(u16::from_le_bytes(*a)).min(1023));
        let product = (2 * value * a + 1023).div_euclid(2 * 1023);
        *v = ((product + black).clamp(0, 1023) as u16).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::multiply;

    #[test]
    fn alpha_is_multiplied_in_about_black() {
        for (black, alpha) in [(64, 0), (64, 1023), (512, 0), (512, 300), (0, 512), (64, 65535)] {
            for value in [0u16, 3, 64, 300, 512, 940, 1023] {
                let mut row = value.to_le_bytes();
                multiply(&mut row, &u16::to_le_bytes(alpha), black);
                let part = f64::from(alpha.min(1023)) / 1023.0;
                let want = f64::from(black) + (f64::from(value) - f64::from(black)) * part;
                let got = f64::from(u16::from_le_bytes(row));
                assert!((got - want.clamp(0.0, 1023.0)).abs() <= 0.5, "{value} of {black} at {alpha}: {got}");
            }
        }
    }
}
