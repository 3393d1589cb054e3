//! Tables without borders, so that `grep` and `awk` work.

use comfy_table::{ContentArrangement, Table};

use crate::text::printable;

/// Renders rows, the header first, and ends with a line break. Empty cells show `-`, so that columns can be counted.
pub(crate) fn render(rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::TableStyle::new())
        .set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        table.add_row(row.iter().map(|cell| {
            let cell = printable(cell).replace('\n', " ");
            if cell.is_empty() {
                "-".to_owned()
            } else {
                cell
            }
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Renders one row without alignment, for streams whose later rows are unknown.
pub(crate) fn stream_row(row: &[String]) -> String {
    let cells: Vec<String> = row
        .iter()
        .map(|cell| {
            let cell = printable(cell).replace('\n', " ");
            format!("{:<16}", if cell.is_empty() { "-" } else { &cell })
        })
        .collect();
    cells.join("  ").trim_end().to_owned()
}
