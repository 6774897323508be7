//! Rules for texts that people read about each other: the names of users, the titles of meetings. Pure.
//!
//! Such a text stands in sentences, notifications and on terminals of others. So it has no character that leaves its
//! line or turns the direction of the text around it, and at least one that can be seen. What honest names need
//! (joiners, marks, any script in any direction) is allowed.
//!
//! [`shown`] displays a stored text that breaks these rules.

use std::borrow::Cow;

/// Characters of a user's name.
pub const NAME_CHARS_MAX: usize = 64;
/// Characters of a meeting's title.
pub const TITLE_CHARS_MAX: usize = 200;

/// Why a text is refused, with the remedy; the words continue after "the name".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TextError {
    #[error("has more than {chars_max} characters; shorten it")]
    TooLong { chars_max: usize },
    #[error(
        "has the character U+{code:04X}, which leaves the line or turns the direction of the text around it; remove it",
        code = u32::from(*.0)
    )]
    Disturbing(char),
    #[error("has nothing in it that can be seen; give one that people can read")]
    Invisible,
}

/// # Errors
/// The text may not be the name of a user.
pub fn check_name(name: &str) -> Result<(), TextError> {
    check(name, NAME_CHARS_MAX)
}

/// # Errors
/// The text may not be the title of a meeting.
pub fn check_title(title: &str) -> Result<(), TextError> {
    check(title, TITLE_CHARS_MAX)
}

fn check(text: &str, chars_max: usize) -> Result<(), TextError> {
    if text.chars().nth(chars_max).is_some() {
        return Err(TextError::TooLong { chars_max });
    }
    if let Some(character) = text.chars().find(|&character| is_disturbing(character)) {
        return Err(TextError::Disturbing(character));
    }
    if text.chars().all(is_invisible) { Err(TextError::Invisible) } else { Ok(()) }
}

/// Returns the text without the characters that it must not have; `None`: nothing is left that can be seen.
pub fn shown(text: &str) -> Option<Cow<'_, str>> {
    let kept: Cow<'_, str> = if text.contains(is_disturbing) {
        text.chars().filter(|&character| !is_disturbing(character)).collect::<String>().into()
    } else {
        text.into()
    };
    (!kept.chars().all(is_invisible)).then_some(kept)
}

/// Control characters, separators of lines and paragraphs, embeddings, overrides and isolates (UAX #9 section 2).
#[must_use]
pub fn is_disturbing(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// White space, joiners and marks of direction, fillers, selectors, tags: without a visible character nothing of them
/// can be seen.
fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '\u{AD}'
                | '\u{34F}'
                | '\u{61C}'
                | '\u{115F}'
                | '\u{1160}'
                | '\u{17B4}'
                | '\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2060}'..='\u{2064}'
                | '\u{206A}'..='\u{206F}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HONEST: [&str; 16] = [
        "Alice",
        "a",
        "Nguyễn Thị Minh Khai",
        "محمد عبد الله",
        "شیرین نیک\u{200C}نام",
        "יעל כהן",
        "אבי (Avi) 2",
        "\u{200F}שרה\u{200F}",
        "李小龙",
        "さくら",
        "김민준",
        "Jose\u{301}",
        "क्\u{200D}षमा",
        "👩\u{200D}💻",
        "❤\u{FE0F}",
        "Bob \u{2060}the builder",
    ];

    const NOBODY: [&str; 13] = [
        "",
        " ",
        "\u{3000}\u{A0}",
        "\u{200B}\u{200B}",
        "\u{200D}",
        "\u{200E}\u{200F}",
        "\u{2060}\u{FEFF}",
        "\u{AD}",
        "\u{3164}",
        "\u{2800}",
        "\u{FE0F}",
        "\u{E0100}",
        "\u{E0061}\u{E007F}",
    ];

    #[test]
    fn honest_names_of_all_scripts_are_taken_and_shown_as_they_are() {
        for name in HONEST {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
            assert_eq!(shown(name), Some(Cow::Borrowed(name)), "{name:?}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_seen_is_refused_and_not_shown() {
        for name in NOBODY {
            assert_eq!(check_name(name), Err(TextError::Invisible), "{name:?}");
            assert_eq!(shown(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_name_that_disturbs_its_line_is_refused_and_shown_without_what_disturbs() {
        let table = [
            ("\u{202E}ecilA", '\u{202E}', Some("ecilA")),
            ("A\u{202A}l\u{202C}ice", '\u{202A}', Some("Alice")),
            ("\u{2066}Alice\u{2069}", '\u{2066}', Some("Alice")),
            ("\u{1B}[31mAlice", '\u{1B}', Some("[31mAlice")),
            ("Alice\n", '\n', Some("Alice")),
            ("Ali\tce", '\t', Some("Alice")),
            ("Ali\u{7F}ce\u{9B}", '\u{7F}', Some("Alice")),
            ("Alice\u{2028}Bob", '\u{2028}', Some("AliceBob")),
            ("\u{2029}", '\u{2029}', None),
            ("\u{202E}\u{200B}", '\u{202E}', None),
        ];
        for (name, character, left) in table {
            assert_eq!(check_name(name), Err(TextError::Disturbing(character)), "{name:?}");
            assert_eq!(shown(name).as_deref(), left, "{name:?}");
        }
    }

    #[test]
    fn a_length_is_counted_in_characters() {
        assert_eq!(check_name(&"李".repeat(NAME_CHARS_MAX)), Ok(()));
        assert_eq!(check_name(&"a".repeat(65)), Err(TextError::TooLong { chars_max: 64 }));
        assert_eq!(check_title(&"李".repeat(TITLE_CHARS_MAX)), Ok(()));
        assert_eq!(check_title(&"a".repeat(201)), Err(TextError::TooLong { chars_max: 200 }));
    }

    #[test]
    fn the_words_name_the_cause_and_the_remedy() {
        let words = |name| check_name(name).err().map(|error| format!("the name {error}")).unwrap_or_default();
        assert_eq!(
            words("\u{202E}ecilA"),
            "the name has the character U+202E, which leaves the line or turns the direction of the text around it; \
             remove it"
        );
        assert_eq!(
            words("\u{200B}\u{200B}"),
            "the name has nothing in it that can be seen; give one that people can read"
        );
    }
}
