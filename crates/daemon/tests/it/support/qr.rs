//! A reader for QR codes that uses an independent program.

use std::{fs, path::Path, process::Command};

use super::program::run;

/// Pixels per module in each direction.
const SCALE: usize = 8;

/// Returns the text in a picture.
///
/// # Panics
///
/// Panics if the picture has no readable code.
#[track_caller]
pub(crate) fn in_picture(picture: &Path) -> String {
    let mut zbarimg = Command::new("zbarimg");
    zbarimg.args(["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable"]);
    let read = run(zbarimg.arg(picture));
    assert_eq!(
        read.code,
        0,
        "no QR code in {}: {read:#?} (zbarimg: run scripts/install-test-tools)",
        picture.display()
    );
    read.stdout.trim_end_matches('\n').to_owned()
}

/// Returns the text of a code on a terminal, drawn with half blocks in white on black.
///
/// # Panics
///
/// Panics like [`in_picture`].
#[track_caller]
pub(crate) fn on_terminal(lines: &[&str]) -> String {
    let mut rows: Vec<Vec<bool>> = Vec::new();
    for line in lines {
        let shown = line
            .strip_prefix("\u{1b}[40;97m")
            .and_then(|line| line.strip_suffix("\u{1b}[0m"));
        let shown = shown.unwrap_or_else(|| panic!("not in white on black: {line:?}"));
        for lit in [['\u{2588}', '\u{2580}'], ['\u{2588}', '\u{2584}']] {
            rows.push(shown.chars().map(|c| lit.contains(&c)).collect());
        }
    }
    let width = rows.first().map_or(0, Vec::len);
    assert!(rows.iter().all(|row| row.len() == width), "{lines:#?}");
    let mut picture = format!("P5 {} {} 255\n", width * SCALE, rows.len() * SCALE).into_bytes();
    for row in &rows {
        for _ in 0..SCALE {
            let pixels = row.iter().map(|is_lit| if *is_lit { 255 } else { 0 });
            picture.extend(pixels.flat_map(|pixel| [pixel; SCALE]));
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("code.pgm");
    fs::write(&file, picture).unwrap();
    in_picture(&file)
}
