//! `refine=best` for programs: masks and frames in, mattes out, for tools/refiner/draw.py.
//!
//! On its standard input, as often as wanted: the frame's width and height and the mask's, 32 bits each; R, G, B of the frame,
//! tight rows; the mask in 0..1, float32; all little-endian. Each time a matte of the frame's size comes out, a byte a pixel.

use gstbgremove::frame::{Color, Format, Frame, Plane};
use gstbgremove::refine::{Quality, Refiner};
use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut header = [0u8; 16];
    while input.read_exact(&mut header).is_ok() {
        let (sizes, _) = header.as_chunks::<4>();
        let [width, height, mask_w, mask_h] = std::array::from_fn(|n| u32::from_le_bytes(sizes[n]) as usize);
        let (mut colors, mut mask) = (vec![0; width * height * 3], vec![0; mask_w * mask_h * 4]);
        input.read_exact(&mut colors)?;
        input.read_exact(&mut mask)?;
        let mask: Vec<f32> = mask.as_chunks::<4>().0.iter().map(|v| f32::from_le_bytes(*v)).collect();
        let none = Plane { data: &[], stride: 0 };
        let planes = [Plane { data: &colors, stride: width * 3 }, none, none, none];
        let frame = Frame { format: Format::Rgb, color: Color::BT709, width, height, planes };
        let mut matte = vec![0; width * height];
        Refiner::new().refine(&frame, &mask, mask_w, mask_h, Quality::Best, &mut matte);
        output.write_all(&matte)?;
        output.flush()?;
    }
    Ok(())
}
