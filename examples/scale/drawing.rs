//! Plots as SVG, written by hand: bars on a plain scale, lines on two logarithmic ones.
//!
//! Grey text and mid-tone colours on no background, so that they can be read on white and on black. Escapes
//! nothing: all words are ours.
//!
//! Invariant: the same numbers give the same file.

use std::fmt::Write;

const COLOURS: [&str; 4] = ["#3b82c4", "#d9822b", "#3f9b63", "#b0568f"];
const GREY: &str = "#808080";
/// The plot itself; around it stand the words.
const LEFT: f64 = 80.0;
const TOP: f64 = 70.0;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 260.0;

/// What a plot says besides its numbers.
pub struct Words<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    pub series: &'a [&'a str],
}

struct Page(String);

impl Page {
    fn new(words: &Words<'_>) -> Self {
        let (width, height) = (LEFT + WIDTH + 30.0, TOP + HEIGHT + 60.0);
        let mut page = Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"13\" fill=\"{GREY}\">\n<title>{}</title>\n",
            words.title
        ));
        page.text(LEFT, 24.0, "start", words.title);
        page.text(LEFT + WIDTH / 2.0, TOP + HEIGHT + 45.0, "middle", words.x);
        let (x, y) = (20.0, TOP + HEIGHT / 2.0);
        page.add(&format!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" transform=\"rotate(-90 {x} {y})\">{}</text>",
            words.y
        ));
        for (place, name) in words.series.iter().enumerate() {
            let x = LEFT + WIDTH * place as f64 / words.series.len() as f64;
            let colour = COLOURS[place % COLOURS.len()];
            page.add(&format!(
                "<rect x=\"{x:.1}\" y=\"40\" width=\"11\" height=\"11\" fill=\"{colour}\"/>"
            ));
            page.text(x + 16.0, 50.0, "start", name);
        }
        page
    }

    fn add(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, words: &str) {
        self.add(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
        ));
    }

    /// A line across the plot, and what it stands for.
    fn level(&mut self, y: f64, label: &str) {
        let right = LEFT + WIDTH;
        self.add(&format!(
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"{GREY}\" stroke-opacity=\"0.35\"/>"
        ));
        self.text(LEFT - 8.0, y + 4.0, "end", label);
    }

    fn finish(mut self) -> String {
        self.add("</svg>");
        self.0
    }
}

/// Groups of bars from zero. Each group has a bar for each series.
pub fn bars(words: &Words<'_>, groups: &[(String, Vec<f64>)]) -> String {
    let mut page = Page::new(words);
    let most = groups
        .iter()
        .flat_map(|(_, bars)| bars)
        .copied()
        .fold(0.0, f64::max);
    let step = [0.25, 0.5, 1.0, 2.0]
        .into_iter()
        .find(|step| most / step <= 8.0)
        .unwrap_or(5.0);
    let steps = (most / step).ceil();
    let height = |value: f64| HEIGHT * value / (steps * step);
    for level in 0..=steps as u32 {
        let value = f64::from(level) * step;
        page.level(TOP + HEIGHT - height(value), &format!("{value:.2}"));
    }
    let room = WIDTH / groups.len() as f64;
    for (place, (name, values)) in groups.iter().enumerate() {
        let left = LEFT + room * (place as f64 + 0.15);
        let width = room * 0.7 / values.len() as f64;
        for (series, value) in values.iter().enumerate() {
            let (x, tall) = (left + width * series as f64, height(*value));
            let (y, wide) = (TOP + HEIGHT - tall, width * 0.9);
            let colour = COLOURS[series % COLOURS.len()];
            page.add(&format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\" fill=\"{colour}\"/>"
            ));
            page.text(x + wide / 2.0, y - 4.0, "middle", &format!("{value:.2}"));
        }
        page.text(
            LEFT + room * (place as f64 + 0.5),
            TOP + HEIGHT + 20.0,
            "middle",
            name,
        );
    }
    page.finish()
}

/// Lines through points (x, y) above zero, both scales logarithmic.
pub fn lines(words: &Words<'_>, lines: &[Vec<(f64, f64)>]) -> String {
    let mut page = Page::new(words);
    let points = || lines.iter().flatten();
    let decades = |values: &mut dyn Iterator<Item = f64>| {
        let logs: Vec<f64> = values.map(f64::log10).collect();
        let least = logs.iter().copied().fold(f64::MAX, f64::min).floor();
        (
            least,
            logs.iter().copied().fold(least + 1.0, f64::max).ceil(),
        )
    };
    let (left, right) = decades(&mut points().map(|(x, _)| *x));
    let (low, high) = decades(&mut points().map(|(_, y)| *y));
    let x_of = |x: f64| LEFT + WIDTH * (x.log10() - left) / (right - left);
    let y_of = |y: f64| TOP + HEIGHT - HEIGHT * (y.log10() - low) / (high - low);
    for decade in low as i32..=high as i32 {
        page.level(y_of(10f64.powi(decade)), &short(10f64.powi(decade)));
    }
    for decade in left as i32..=right as i32 {
        let value = 10f64.powi(decade);
        page.text(x_of(value), TOP + HEIGHT + 20.0, "middle", &short(value));
    }
    for (place, line) in lines.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let mut path = String::new();
        for (step, (x, y)) in line.iter().enumerate() {
            let pen = if step == 0 { 'M' } else { 'L' };
            write!(path, "{pen}{:.1} {:.1}", x_of(*x), y_of(*y)).expect("a string takes all");
            page.add(&format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>",
                x_of(*x),
                y_of(*y)
            ));
        }
        let dashes = [0, 7][place % 2]; // Lines that lie on each other both stay visible.
        page.add(&format!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>"
        ));
    }
    page.finish()
}

/// `1 k`, `10 M`.
pub fn short(value: f64) -> String {
    match value {
        _ if value >= 1e9 => format!("{} G", value / 1e9),
        _ if value >= 1e6 => format!("{} M", value / 1e6),
        _ if value >= 1e3 => format!("{} k", value / 1e3),
        _ => format!("{value}"),
    }
}
