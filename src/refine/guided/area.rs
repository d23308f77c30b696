//! Which part of a plane is filtered.

use crate::refine::blocks::runs;

/// Where models are asked for: whole blocks of cells.
pub struct Area<'a> {
    /// Rows of cells.
    pub y: (usize, usize),
    /// The row of blocks that `marks` begins with.
    pub first: usize,
    /// Cells in a block, across; blocks in a row. Of blocks smaller than a cell, `per` make one.
    pub side: usize,
    pub per: usize,
    pub grid_width: usize,
    /// The blocks asked for, row by row.
    pub marks: &'a [bool],
}

impl Area<'_> {
    /// The runs of cells, each widened by `reach` to either side, that rows within `reach` of `y` are asked for.
    pub(super) fn runs(
        &self,
        y: usize,
        reach: usize,
        (grid_width, grid_height): (usize, usize),
        row: &mut Vec<bool>,
        out: &mut Vec<Run>,
    ) {
        let last = self.marks.len() / self.grid_width - 1;
        let block = |y: usize| (y * self.per / self.side).saturating_sub(self.first).min(last);
        // Rows outside of the area are not asked for.
        let (from, to) =
            (y.saturating_sub(reach).max(self.y.0), (y + reach).min(grid_height - 1).min(self.y.1 - 1));
        out.clear();
        row.clear();
        row.resize(self.grid_width, false);
        if from > to {
            return;
        }
        for by in block(from)..=block(to).max(((to + 1) * self.per - 1) / self.side - self.first).min(last) {
            row.iter_mut().zip(&self.marks[by * self.grid_width..]).for_each(|(r, m)| *r |= m);
        }
        for run in runs(row) {
            let x0 = (run.start * self.side / self.per).min(grid_width).saturating_sub(reach);
            let x1 = ((run.end * self.side).div_ceil(self.per) + reach).min(grid_width);
            match out.last_mut() {
                Some(before) if before.1 >= x0 => before.1 = x1,
                _ if x0 < x1 => out.push((x0, x1)),
                _ => {}
            }
        }
    }
}

/// From one cell to before another.
pub(super) type Run = (usize, usize);
