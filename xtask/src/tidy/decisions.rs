//! Decision records are numbered without gaps, and titled with their number.

use super::Problem;
use super::tree::Tree;

const FOLDER: &str = "docs/decisions/";

pub(super) fn check(tree: &Tree, problems: &mut Vec<Problem>) {
    let records = tree.files.iter().filter(|(path, _)| path.starts_with(FOLDER));
    for (expected, (path, text)) in (1..).zip(records) {
        let name = &path[FOLDER.len()..];
        let number = format!("{expected:04}");
        if !name.starts_with(&format!("{number}-")) {
            let advice = format!("name it {number}-title.md: decisions are numbered from 0001 without gaps");
            problems.push(Problem::new(path, advice));
        } else if !text.starts_with(&format!("# {number} ")) {
            problems
                .push(Problem::new(path, format!("begin with the title: # {number} and what was decided")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(files: &[(&str, &str)]) -> Vec<Problem> {
        let files = files.iter().map(|(name, text)| (format!("{FOLDER}{name}"), (*text).to_owned()));
        let mut problems = Vec::new();
        check(&Tree { files: files.collect(), ..Tree::default() }, &mut problems);
        problems
    }

    #[test]
    fn finds_gaps_doubles_and_wrong_titles() {
        assert_eq!(problems(&[("0001-a.md", "# 0001 A\n"), ("0002-b.md", "# 0002 B\n")]), []);
        assert_eq!(problems(&[("0001-a.md", "# 0001 A\n"), ("0003-b.md", "# 0003 B\n")]).len(), 1);
        assert_eq!(problems(&[("0001-a.md", "# 0001 A\n"), ("0001-b.md", "# 0001 B\n")]).len(), 1);
        assert_eq!(problems(&[("notes.md", "# Notes\n")]).len(), 1);
        assert!(problems(&[("0001-a.md", "# A\n")])[0].advice.contains("# 0001"));
    }
}
