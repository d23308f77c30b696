//! The HTML page: nothing from outside, no script, readable on paper.

use super::Outcome;
use super::play::Setting;
use super::verdict::{self, Figures, Judged, judge, number};
use std::fmt::Write;

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff;max-width:70rem;margin:0 auto;padding:1rem}\
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1.2rem 0 .4rem}\
.verdict{border-left:4px solid #555;padding:.2rem 0 .2rem 1rem;margin:1rem 0}\
.verdict p{margin:.2rem 0}.verdict p:first-child{font-size:1.15rem;font-weight:600}\
table{border-collapse:collapse;width:100%;font-size:.92rem}\
th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #ddd;vertical-align:top}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
td.best{font-weight:600}.wide{overflow-x:auto}\
.four{display:grid;grid-template-columns:repeat(4,1fr);gap:.4rem;margin:.4rem 0}\
figure{margin:0}figcaption{font-size:.82rem;color:#555}\
img{width:100%;display:block;border:1px solid #ddd;box-sizing:border-box}\
svg{width:100%;height:auto;display:block}\
code{font:.86em ui-monospace,monospace;overflow-wrap:anywhere}\
.note{font-size:.86rem;color:#555}\
@media(max-width:40rem){.four{grid-template-columns:repeat(2,1fr)}body{font-size:15px}}\
@media print{body{font-size:10pt;max-width:none;padding:0}.moment,figure,tr,svg{break-inside:avoid}}";

/// A row of the table of measures.
struct Measure {
    name: &'static str,
    unit: &'static str,
    what: &'static str,
    figures: Figures,
}

const fn measure(name: &'static str, unit: &'static str, what: &'static str, figures: Figures) -> Measure {
    Measure { name, unit, what, figures }
}

const WITH_TRUTH: [Measure; 6] = [
    measure("MAD", "×10⁻³", "mean error of alpha", verdict::MAD),
    measure("MSE", "×10⁻³", "mean squared error of alpha", verdict::MSE),
    measure("Grad", "×10³", "error of alpha's gradient: shape of edges (Rhemann 2009)", verdict::GRAD),
    measure("Conn", "×10³", "parts that hang loose or are missing (Rhemann 2009)", verdict::CONN),
    measure("Edge", "×10⁻³", "mean error of alpha within 5 pixels of the true edge", verdict::EDGE),
    measure("dtSSD", "×10⁻²", "error of alpha's change from frame to frame (Erofeev 2015)", verdict::DTSSD),
];

const WITHOUT: [Measure; 5] = [
    measure(
        "Edge flicker",
        "×10⁻³",
        "alpha's change at the edge that the picture's motion does not explain",
        verdict::FLICKER,
    ),
    measure("Blinks", "‰", "foreground that is gone for one frame", verdict::BLINKS),
    measure("Pulsing", "‰", "the covered area's going up and down from frame to frame", verdict::PULSING),
    measure("Holes", "‰", "background closed in by foreground, of the foreground", verdict::HOLES),
    measure("Islands", "‰", "foreground apart from the largest piece, of the foreground", verdict::ISLANDS),
];

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The whole page.
pub fn page(
    settings: &[Setting; 2],
    outcomes: &[Outcome],
    verdicts: &[String],
    truth: bool,
) -> Result<String, String> {
    let mut out = String::new();
    write(&mut out, settings, outcomes, verdicts, truth)?;
    Ok(out)
}

fn write(
    out: &mut String,
    settings: &[Setting; 2],
    outcomes: &[Outcome],
    verdicts: &[String],
    truth: bool,
) -> Result<(), String> {
    let odd = |e: std::fmt::Error| e.to_string();
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>bgremove compare: {a} | {b}</title><style>{STYLE}</style></head><body>\n\
         <h1>Background removal: two settings compared</h1>\n\
         <p><b>A</b> <code>{a}</code><br><b>B</b> <code>{b}</code></p>\n<div class=\"verdict\">",
        a = escape(&settings[0].text),
        b = escape(&settings[1].text),
    )
    .map_err(odd)?;
    for line in verdicts {
        writeln!(out, "<p>{}</p>", escape(line)).map_err(odd)?;
    }
    out.push_str("</div>\n");
    if settings.iter().any(|s| s.left_out) {
        out.push_str(
            "<p class=\"note\">What is compared is the matte: <code>background</code> and <code>output</code> do \
             not take part.</p>\n",
        );
    }
    table(out, outcomes, truth).map_err(odd)?;
    for outcome in outcomes {
        clip(out, outcome, truth).map_err(odd)?;
    }
    provenance(out, settings, outcomes)?;
    out.push_str("</body></html>\n");
    Ok(())
}

fn table(out: &mut String, outcomes: &[Outcome], truth: bool) -> std::fmt::Result {
    let frames: usize = outcomes.iter().map(|o| o.differences.len()).sum();
    let over = if outcomes.len() > 1 { format!(" of {} clips", outcomes.len()) } else { String::new() };
    write!(
        out,
        "<h2>Measures</h2>\n<div class=\"wide\"><table><tr><th>Mean of {frames} frames{over}<th class=\"n\">A\
         <th class=\"n\">B<th class=\"n\">B / A<th>Difference</tr>\n"
    )?;
    if truth {
        for m in &WITH_TRUTH {
            row(out, outcomes, m)?;
        }
    }
    for m in &WITHOUT {
        row(out, outcomes, m)?;
    }
    let time = measure(
        "Time",
        "ms a frame",
        "in and out of the element, one frame at a time, first frame left out",
        verdict::TIME,
    );
    row(out, outcomes, &time)?;
    if let Some(j) = judge(outcomes, verdict::TIME) {
        let speed = |ms: f64| number(1e3 / ms.max(1e-9));
        writeln!(
            out,
            "<tr><td>Speed <span class=\"note\">frames a second; measured on this machine ({} threads), while A and \
             B took turns and the clip was decoded beside them</span><td class=\"n\">{}<td class=\"n\">{}\
             <td class=\"n\">{:.2}<td></tr>",
            std::thread::available_parallelism().map_or(1, |n| n.get()),
            speed(j.a),
            speed(j.b),
            j.a / j.b.max(1e-9)
        )?;
    }
    out.push_str(
        "</table></div>\n<p class=\"note\">Lower is better in every row but speed. A difference is called measurable \
         when it is more than 2 % and more than 3.2 standard errors of the differences between blocks of five \
         frames.",
    );
    out.push_str(if truth {
        "</p>\n"
    } else {
        " Without true mattes (--truth) the figures tell which is steadier and more whole, not which is right: an \
         empty or a blurred matte is steady too.</p>\n"
    });
    Ok(())
}

fn row(out: &mut String, outcomes: &[Outcome], m: &Measure) -> std::fmt::Result {
    write!(out, "<tr><td>{} <span class=\"note\">{}, {}</span>", m.name, m.unit, m.what)?;
    let Some(j) = judge(outcomes, m.figures) else {
        return writeln!(out, "<td class=\"n\">–<td class=\"n\">–<td class=\"n\">–<td>no figure</tr>");
    };
    let (say, best) = say(&j);
    let class = |side: char| if best == Some(side) { "n best" } else { "n" };
    let ratio = if j.a > 0.0 { format!("{:.2}", j.b / j.a) } else { "–".into() };
    writeln!(
        out,
        "<td class=\"{}\">{}<td class=\"{}\">{}<td class=\"n\">{ratio}<td>{say}</tr>",
        class('A'),
        number(j.a),
        class('B'),
        number(j.b)
    )
}

fn say(j: &Judged) -> (&'static str, Option<char>) {
    match j.differ {
        _ if j.a == j.b => ("none", None),
        None => ("too few frames to tell", None),
        Some(false) => ("not measurable", None),
        Some(true) if j.a < j.b => ("A is better", Some('A')),
        Some(true) => ("B is better", Some('B')),
    }
}

fn clip(out: &mut String, o: &Outcome, truth: bool) -> std::fmt::Result {
    let name = o.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    write!(
        out,
        "<h2>{}</h2>\n<p class=\"note\">{}×{}, {} frames a second, {} frames compared. A {} ms a frame, B {} ms.</p>\n",
        escape(&name),
        o.size.width,
        o.size.height,
        o.rate,
        o.differences.len(),
        number(o.sides[0].milliseconds()),
        number(o.sides[1].milliseconds()),
    )?;
    out.push_str("<h3>Over time</h3>\n");
    chart(out, "Difference of A's and B's alpha (mean, ×10⁻³)", &[("#555", &some(&o.differences))])?;
    let flicker = |i: usize| verdict::FLICKER(&o.sides[i]);
    chart(
        out,
        "Edge flicker (×10⁻³): A red, B blue dashed",
        &[("#c8281e", &flicker(0)), ("#145abe", &flicker(1))],
    )?;
    if truth {
        let mad = |i: usize| verdict::MAD(&o.sides[i]);
        chart(out, "MAD (×10⁻³): A red, B blue dashed", &[("#c8281e", &mad(0)), ("#145abe", &mad(1))])?;
    }
    out.push_str(if truth {
        "<h3>The worst moments: where either is furthest from the truth</h3>\n"
    } else if o.differences.iter().any(|d| *d > 0.0) {
        "<h3>The worst moments: where A and B differ most</h3>\n"
    } else {
        "<h3>The worst moments: where the edge flickers most</h3>\n"
    });
    for m in o.moments.in_order() {
        write!(out, "<div class=\"moment\"><p>Frame {}", m.frame)?;
        if o.fps > 0.0 {
            write!(out, ", {:.2} s", m.frame as f64 / o.fps)?;
        }
        writeln!(out, ": alpha differs by {} ×10⁻³.</p>", number(o.differences[m.frame]))?;
        for (kind, set) in [("", &m.whole), (", near", &m.near)] {
            out.push_str("<div class=\"four\">");
            for (title, uri) in ["Input", "A", "B", "Difference"].iter().zip(set) {
                write!(
                    out,
                    "<figure><img src=\"{uri}\" alt=\"{title}, frame {}{kind}\"><figcaption>{title}{kind}\
                     </figcaption></figure>",
                    m.frame
                )?;
            }
            out.push_str("</div>\n");
        }
        out.push_str("</div>\n");
    }
    out.push_str(
        "<p class=\"note\">Difference, four times enlarged: red where A keeps more, blue where B does.</p>\n",
    );
    Ok(())
}

fn some(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

/// A line chart over the frames.
fn chart(out: &mut String, title: &str, lines: &[(&str, &[Option<f64>])]) -> std::fmt::Result {
    const W: f64 = 1000.0;
    const H: f64 = 110.0;
    const LEFT: f64 = 60.0;
    let values = lines.iter().flat_map(|(_, l)| l.iter().flatten());
    let top = values.fold(0.0f64, |a, b| a.max(*b));
    let frames = lines.iter().map(|(_, l)| l.len()).max().unwrap_or(0);
    let x = |i: usize| LEFT + (W - LEFT - 10.0) * i as f64 / frames.saturating_sub(1).max(1) as f64;
    let y = |v: f64| H - (H - 12.0) * v / if top > 0.0 { top } else { 1.0 };
    write!(
        out,
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {W} {}\" role=\"img\" aria-label=\"{title}\" \
         font-size=\"13\" fill=\"#555\"><path d=\"M{LEFT} 8V{H}H{}\" stroke=\"#aaa\" fill=\"none\"/>\
         <text x=\"{}\" y=\"18\" text-anchor=\"end\">{}</text><text x=\"{}\" y=\"{H}\" text-anchor=\"end\">0</text>\
         <text x=\"{LEFT}\" y=\"{}\">frame 0</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">frame {}</text>",
        H + 20.0,
        W - 10.0,
        LEFT - 6.0,
        number(top),
        LEFT - 6.0,
        H + 16.0,
        W - 10.0,
        H + 16.0,
        frames.saturating_sub(1),
    )?;
    for (n, (colour, line)) in lines.iter().enumerate() {
        let mut path = String::new();
        let mut pen = 'M';
        for (i, v) in line.iter().enumerate() {
            if let Some(v) = v {
                write!(path, "{pen}{:.1} {:.1}", x(i), y(*v))?;
            }
            pen = if v.is_some() { 'L' } else { 'M' };
        }
        let dash = if n > 0 { " stroke-dasharray=\"5 3\"" } else { "" };
        write!(out, "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"1.6\" fill=\"none\"{dash}/>")?;
    }
    out.push_str("</svg></figure>\n");
    Ok(())
}

/// What was run on what, to the byte.
fn provenance(out: &mut String, settings: &[Setting; 2], outcomes: &[Outcome]) -> Result<(), String> {
    let odd = |e: std::fmt::Error| e.to_string();
    out.push_str("<h2>What was compared</h2>\n<div class=\"wide\"><table>\n");
    for (name, s) in ["A", "B"].iter().zip(settings) {
        let list = s.properties.iter().map(|(n, v, changed)| {
            let text = escape(&format!("{n}={v}"));
            if *changed { format!("<b>{text}</b>") } else { text }
        });
        let list = list.collect::<Vec<_>>().join(" ");
        writeln!(out, "<tr><th>{name}<td><code>{list}</code></tr>").map_err(odd)?;
        let mut files: Vec<(String, String)> = Vec::new();
        for o in outcomes {
            files.extend(s.model_file(o.size)?.filter(|file| !files.contains(file)));
        }
        for (file, sum) in files {
            writeln!(
                out,
                "<tr><th>{name}, network<td>{}<br><span class=\"note\">SHA-256</span> <code>{sum}</code></tr>",
                escape(&file)
            )
            .map_err(odd)?;
        }
    }
    for o in outcomes {
        writeln!(
            out,
            "<tr><th>Clip<td>{}<br><span class=\"note\">SHA-256</span> <code>{}</code></tr>",
            escape(&o.path.display().to_string()),
            o.sha256
        )
        .map_err(odd)?;
    }
    writeln!(
        out,
        "<tr><th>Versions<td>bgremove {}, {}, {} {}</tr>\n</table></div>\n<p class=\"note\">Properties that differ from \
         the default are bold.</p>",
        env!("CARGO_PKG_VERSION"),
        escape(&gst::version_string()),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
    .map_err(odd)
}
