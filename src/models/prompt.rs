//! The inputs by which a network is told whom to keep.

use super::Hints;
use crate::runtime::{Element, Port, Value};
use std::path::PathBuf;

/// What a place that a network is told of is to it, by the numbers that the SAM family has for it.
pub mod label {
    /// Only there because the network wants as many.
    pub const NONE: f32 = -1.0;
    pub const SUBJECT: f32 = 1.0;
    /// Corners of a box.
    pub const TOP_LEFT: f32 = 2.0;
    pub const BOTTOM_RIGHT: f32 = 3.0;
}

/// Numbers of an input.
const MOST: usize = 1 << 24;

/// The inputs that say whom to keep. Each is filled, however much is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// Places, `[…, n, 2]`: x and y in pixels of the network's input.
    pub points: Option<Port>,
    /// What each of them is, `[…, n]`: a [`label`].
    pub labels: Option<Port>,
    /// A box, `[…, 4]`: left, top, right and bottom in pixels of the network's input.
    pub bounds: Option<Port>,
    /// The mask before, `[…, h, w]`.
    pub mask: Option<Port>,
    /// Whether there is one: 1 or 0.
    pub has_mask: Option<Port>,
    /// Height and width of the network's input.
    pub size: Option<Port>,
    /// Always the same numbers, and the file that they are in.
    pub embedding: Option<(Port, PathBuf)>,
    /// As [`Hints::points`].
    pub places: Vec<[f32; 3]>,
}

impl Prompt {
    /// Finds them among the inputs that nothing else fills: as they are said, else by the names that exports of the SAM family
    /// have for them. `None` if there are none.
    ///
    /// # Errors
    /// What is wrong with one that is said or named so, after the word "it".
    pub fn find(inputs: &[&Port], hints: &Hints) -> Result<Option<Self>, String> {
        let find = |name: &str| inputs.iter().copied().find(|p| p.name == name).cloned();
        let port = |said: Option<&String>, usual: &[&str]| match said {
            Some(name) => find(name).map(Some).ok_or_else(|| format!("has no input '{name}' to be filled")),
            None => Ok(usual.iter().find_map(|name| find(name))),
        };
        let pair = |said: &Option<(String, Option<String>)>, usual: [&[&str]; 2]| {
            let (first, second) = said.as_ref().map_or((None, None), |(a, b)| (Some(a), b.as_ref()));
            Ok::<_, String>((port(first, usual[0])?, port(second, usual[1])?))
        };
        let (points, labels) = pair(
            &hints.prompt_points,
            [&["point_coords", "input_points"], &["point_labels", "input_labels"]],
        )?;
        let (mask, has_mask) =
            pair(&hints.prompt_mask, [&["mask_input", "input_masks"], &["has_mask_input"]])?;
        let prompt = Self {
            labels: labels.filter(|_| points.is_some()),
            points,
            bounds: port(hints.prompt_box.as_ref(), &["input_boxes"])?,
            mask,
            has_mask,
            size: port(hints.prompt_size.as_ref(), &["orig_im_size"])?,
            embedding: match &hints.prompt_embedding {
                Some((name, file)) => port(Some(name), &[])?.map(|port| (port, file.clone())),
                None => None,
            },
            places: hints.points.clone().unwrap_or_default(),
        };
        if prompt.points.is_none() && !prompt.places.is_empty() {
            return Err("is told of points, and no input of its own takes any".into());
        }
        if prompt.ports().next().is_none() {
            return Ok(None);
        }
        prompt.check()?;
        Ok(Some(prompt))
    }

    /// All that are filled.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        let embedding = self.embedding.as_ref().map(|(port, _)| port);
        [&self.points, &self.labels, &self.bounds, &self.mask, &self.has_mask, &self.size]
            .into_iter()
            .filter_map(Option::as_ref)
            .chain(embedding)
    }

    fn check(&self) -> Result<(), String> {
        let is = |port: &Option<Port>, good: &dyn Fn(&[i64]) -> bool, what: &str| match port {
            Some(p) if p.element == Element::Other || !good(&p.shape) => {
                Err(format!("has an input '{}' that cannot be filled with {what}", p.name))
            }
            _ => Ok(()),
        };
        /// Whether all dimensions may be 1.
        fn single(shape: &[i64]) -> bool {
            shape.iter().all(|d| *d == 1 || *d < 0)
        }
        let ends = |last: i64| move |s: &[i64]| s.last().is_some_and(|d| *d == last || *d < 0);
        let list = |s: &[i64]| s.len() >= 2 && single(&s[..s.len() - 2]) && ends(2)(s);
        is(&self.points, &list, "places: its last dimension is not 2, or there are several lists")?;
        let one_list = |s: &[i64]| !s.is_empty() && single(&s[..s.len() - 1]);
        is(&self.labels, &one_list, "one number a place")?;
        let one_box = |s: &[i64]| ends(4)(s) && single(&s[..s.len() - 1]);
        is(&self.bounds, &one_box, "a box: four numbers")?;
        let plane = |s: &[i64]| match s {
            [front @ .., _, _, 1] => single(front),
            [front @ .., _, _] => single(front),
            _ => false,
        };
        is(&self.mask, &plane, "a mask of one channel")?;
        is(&self.has_mask, &single, "one number")?;
        is(&self.size, &|s| s.len() == 1 && ends(2)(s), "height and width")?;
        if let (Some(points), Some(labels)) = (&self.points, &self.labels) {
            let counts = (points.shape[points.shape.len() - 2], labels.shape[labels.shape.len() - 1]);
            if counts.0 > 0 && counts.1 > 0 && counts.0 != counts.1 {
                let (a, b) = (&points.name, &labels.name);
                return Err(format!("wants {} places in '{a}' and {} labels in '{b}'", counts.0, counts.1));
            }
        }
        let large = |p: &&Port| Value::length(&p.least_shape()).is_none_or(|n| n > MOST);
        if let Some(port) = self.ports().find(large) {
            return Err(format!("has an input '{}' that is larger than any prompt should be", port.name));
        }
        let embedding = self.embedding.as_ref().map(|(port, _)| port.clone());
        is(&embedding, &|_| true, "an embedding, for its type")
    }

    /// What an input is filled with, for people; `None` if it is not one of these.
    pub fn role(&self, name: &str) -> Option<&'static str> {
        let is = |port: &Option<Port>| port.as_ref().is_some_and(|p| p.name == name);
        let roles = [
            (&self.points, "places of whom to keep, in pixels"),
            (&self.labels, "what each place is: 1 subject, 0 background, 2 and 3 corners of a box, −1 none"),
            (&self.bounds, "the box of whom to keep, in pixels"),
            (&self.mask, "the mask before"),
            (&self.has_mask, "whether there is a mask before"),
            (&self.size, "height and width of the picture"),
        ];
        let found = roles.into_iter().find(|(port, _)| is(port)).map(|(_, role)| role);
        found.or_else(|| {
            self.embedding.as_ref().filter(|(p, _)| p.name == name).map(|_| "the embedding of a prompt")
        })
    }
}
