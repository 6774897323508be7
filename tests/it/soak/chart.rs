//! Small multiples over the simulated time, as SVG. Pure.

use super::sample::Sample;
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const PANEL: f64 = 150.0;
const HEAD: f64 = 70.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 110.0;
/// Of a panel: above the plot, and below it.
const ABOVE: f64 = 34.0;
const BELOW: f64 = 22.0;
const COLOURS: [&str; 4] = ["#2463a8", "#c2571a", "#5b7a2b", "#8a4fa0"];
const MIB: f64 = (1 << 20) as f64;
/// Labels of lines that end closer than this are moved apart.
const LABEL_HEIGHT: f64 = 14.0;

type Value = fn(&Sample) -> f64;

struct Panel {
    title: &'static str,
    unit: &'static str,
    lines: &'static [(&'static str, Value)],
}

const PANELS: [Panel; 5] = [
    Panel {
        title: "Disk",
        unit: "MiB",
        lines: &[
            ("log", |sample| sample.log_bytes as f64 / MIB),
            ("catalog", |sample| sample.catalog_bytes as f64 / MIB),
            ("catalog's WAL", |sample| sample.catalog_log_bytes as f64 / MIB),
            ("waiting", |sample| sample.live_bytes as f64 / MIB),
        ],
    },
    Panel { title: "Memory", unit: "MiB", lines: &[("resident", |sample| sample.memory_bytes as f64 / MIB)] },
    Panel { title: "Open descriptors", unit: "", lines: &[("files, sockets", |sample| sample.descriptors as f64)] },
    Panel { title: "Start", unit: "ms", lines: &[("to ready", |sample| sample.start.as_secs_f64() * 1000.0)] },
    Panel { title: "Messages that wait", unit: "", lines: &[("all inboxes", |sample| sample.waiting as f64)] },
];

pub(crate) fn draw(samples: &[Sample], title: &str, subtitle: &str) -> String {
    let height = HEAD + PANEL * PANELS.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"20\" y=\"30\" font-size=\"18\" font-weight=\"600\">{title}</text>\n\
         <text x=\"20\" y=\"50\" fill=\"#666\">{subtitle}</text>\n"
    );
    let days = samples.last().map_or(1.0, |sample| sample.day).max(1.0);
    for (n, panel) in PANELS.iter().enumerate() {
        draw_panel(&mut svg, panel, samples, days, HEAD + PANEL * n as f64);
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">simulated days</text>", height - 12.0);
    svg + "</svg>\n"
}

fn draw_panel(svg: &mut String, panel: &Panel, samples: &[Sample], days: f64, top: f64) {
    let (above, below) = (top + ABOVE, top + PANEL - BELOW);
    let values = || panel.lines.iter().flat_map(|(_, value)| samples.iter().map(value));
    let step = round_step(values().fold(0.0, f64::max) / 3.0);
    let most = step * (values().fold(0.0, f64::max) / step).ceil().max(1.0);
    let y = |value: f64| below - value / most * (below - above);
    let x = |day: f64| LEFT + day / days * (WIDTH - LEFT - RIGHT);
    let unit = if panel.unit.is_empty() { String::new() } else { format!(", {}", panel.unit) };
    let _ = writeln!(svg, "<text x=\"20\" y=\"{}\" font-weight=\"600\">{}{unit}</text>", top + 20.0, panel.title);
    draw_axes(svg, (step, most), days, (below, x(0.0), x(days)), (&y, &x));
    let mut ends = Vec::new();
    for ((name, value), colour) in panel.lines.iter().zip(COLOURS) {
        let points: Vec<String> =
            samples.iter().map(|sample| format!("{:.1},{:.1}", x(sample.day), y(value(sample)))).collect();
        let points = points.join(" ");
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-linejoin=\"round\"/>"
        );
        ends.push((samples.last().map_or(below, |sample| y(value(sample))), *name, colour));
    }
    label_ends(svg, ends);
}

type Scale<'a> = &'a dyn Fn(f64) -> f64;

fn draw_axes(
    svg: &mut String,
    (step, most): (f64, f64),
    days: f64,
    (below, from, to): (f64, f64, f64),
    (y, x): (Scale<'_>, Scale<'_>),
) {
    for n in 0..=(most / step).round() as u32 {
        let value = f64::from(n) * step;
        let (line, colour) = (y(value), if n == 0 { "#999" } else { "#e4e4e4" });
        let _ = writeln!(svg, "<path d=\"M{from:.1} {line:.1}H{to:.1}\" stroke=\"{colour}\"/>");
        let (at, words) = (line + 4.0, thousands(value));
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{at:.1}\" text-anchor=\"end\" fill=\"#666\">{words}</text>", from - 8.0);
    }
    let every = round_step(days / 6.0).max(1.0);
    for n in 0..=(days / every) as u32 {
        let day = f64::from(n) * every;
        let _ = writeln!(
            svg,
            "<path d=\"M{0:.1} {below:.1}v4\" stroke=\"#999\"/><text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"middle\" fill=\"#666\">{day}</text>",
            x(day),
            below + 16.0
        );
    }
}

/// Names each line where it ends, lowest first, no label on another.
fn label_ends(svg: &mut String, mut ends: Vec<(f64, &str, &str)>) {
    ends.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut lowest_free = f64::INFINITY;
    for (at, name, colour) in ends {
        let at = at.min(lowest_free);
        lowest_free = at - LABEL_HEIGHT;
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>", WIDTH - RIGHT + 8.0, at + 4.0);
    }
}

/// 1, 2 or 5 times a power of ten, not less than this.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
    steps.into_iter().find(|step| *step >= least * 0.999).unwrap_or(power)
}

pub(crate) fn thousands(value: f64) -> String {
    let digits = if value.fract() == 0.0 { format!("{value:.0}") } else { return format!("{value:.1}") };
    let (head, tail) = digits.split_at(digits.len().saturating_sub(3));
    if head.is_empty() { tail.to_owned() } else { format!("{head},{tail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_an_axis_are_round() {
        assert_eq!([0.3, 1.0, 7.0, 33.0, 1200.0].map(round_step), [0.5, 1.0, 10.0, 50.0, 2000.0]);
    }

    #[test]
    fn a_chart_has_every_panel_with_its_unit_and_its_lines() {
        let samples: Vec<Sample> = (0..4).map(|n| Sample { day: f64::from(n), ..Sample::default() }).collect();
        let svg = draw(&samples, "title", "subtitle");
        for words in ["Disk, MiB", "Memory, MiB", "Open descriptors", "Start, ms", "simulated days", ">catalog<"] {
            assert!(svg.contains(words), "{words}");
        }
        assert_eq!(svg.matches("<polyline").count(), 8);
    }
}
