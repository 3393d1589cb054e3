//! Suggestions for misspelled names.

/// Returns `did you mean …?` with the most similar known name, if one is similar enough.
pub(super) fn suggestion<'n>(wrong: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let lower = wrong.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for name in known.filter(|name| !name.starts_with('@')) {
        let distance = distance(&lower, &name.to_lowercase());
        let limit = (wrong.len().max(name.len()) / 3).clamp(1, 4);
        let nearer = best.is_none_or(|(least, known)| (distance, name) < (least, known));
        if distance <= limit && nearer {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| format!("did you mean `{name}`?"))
}

/// Returns the edit distance: the number of letters to insert, delete or replace.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(80).collect();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.chars().take(80).enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let replace = previous.get(column).copied().unwrap_or(0) + usize::from(a != *b);
            let delete = previous.get(column + 1).copied().unwrap_or(0) + 1;
            let insert = current.last().copied().unwrap_or(0) + 1;
            current.push(replace.min(delete).min(insert));
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(0)
}
