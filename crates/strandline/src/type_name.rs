//! Names of types as failures carry them.

/// The name of `T` without the paths in it: `my_app::errors::CardDeclined` is `CardDeclined`, and
/// `Wrapped<std::io::Error>` is `Wrapped<Error>`.
pub(crate) fn short_type_name<T: ?Sized>() -> String {
    shorten(std::any::type_name::<T>())
}

fn shorten(full: &str) -> String {
    let mut short = String::new();
    let mut segment_start = 0;
    let mut rest = full;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("::") {
            short.truncate(segment_start);
            rest = &rest[2..];
            continue;
        }
        short.push(c);
        if !(c.is_alphanumeric() || c == '_') {
            segment_start = short.len();
        }
        rest = &rest[c.len_utf8()..];
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cut_everywhere() {
        assert_eq!(shorten("u32"), "u32");
        assert_eq!(shorten("alloc::string::String"), "String");
        assert_eq!(shorten("a::Wrapped<std::io::Error, b::c::D>"), "Wrapped<Error, D>");
        assert_eq!(shorten("&dyn core::error::Error"), "&dyn Error");
        assert_eq!(shorten("(a::B, [c::D; 3])"), "(B, [D; 3])");
    }
}
