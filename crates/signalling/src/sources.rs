//! Sets of sources. On the wire: a list of names, where the name of a kind stands for all its sources.

use crate::join::Source;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// A set of [`Source`]s.
///
/// A terminal says itself which of its sections is the camera and which the screen. Who is not to be seen at all is
/// therefore muted, or blocked, by kind: `["video"]`. Written out, the names are those of the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sources(u8);

/// What stands in a list of sources.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SourceName")]
enum Name {
    Microphone,
    Camera,
    Screen,
    ScreenAudio,
    /// All that can be heard.
    Audio,
    /// All that can be seen.
    Video,
}

impl Sources {
    pub const NONE: Self = Self(0);
    pub const AUDIO: Self = Self(Source::Microphone.bit() | Source::ScreenAudio.bit());
    pub const VIDEO: Self = Self(Source::Camera.bit() | Source::Screen.bit());
    pub const ALL: Self = Self(Self::AUDIO.0 | Self::VIDEO.0);

    pub const fn contains(self, source: Source) -> bool {
        self.0 & source.bit() != 0
    }

    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Source> {
        Source::ALL.into_iter().filter(move |source| self.contains(*source))
    }
}

impl From<Source> for Sources {
    fn from(source: Source) -> Self {
        Self(source.bit())
    }
}

impl FromIterator<Source> for Sources {
    fn from_iter<I: IntoIterator<Item = Source>>(sources: I) -> Self {
        sources.into_iter().fold(Self::NONE, |all, source| all.with(source.into()))
    }
}

impl From<Name> for Sources {
    fn from(name: Name) -> Self {
        match name {
            Name::Microphone => Source::Microphone.into(),
            Name::Camera => Source::Camera.into(),
            Name::Screen => Source::Screen.into(),
            Name::ScreenAudio => Source::ScreenAudio.into(),
            Name::Audio => Self::AUDIO,
            Name::Video => Self::VIDEO,
        }
    }
}

impl JsonSchema for Sources {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Sources".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Vec<Name>>()
    }
}

impl Serialize for Sources {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<Name>::deserialize(deserializer)?;
        Ok(names.into_iter().fold(Self::NONE, |all, name| all.with(name.into())))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn the_name_of_a_kind_stands_for_its_sources() {
        let read = |text: &str| serde_json::from_str::<Sources>(text).unwrap();
        assert_eq!(read(r#"["video"]"#), [Source::Camera, Source::Screen].into_iter().collect());
        assert_eq!(read(r#"["audio"]"#), [Source::Microphone, Source::ScreenAudio].into_iter().collect());
        assert_eq!(read(r#"["audio", "video", "camera"]"#), Sources::ALL);
        assert_eq!(read("[]"), Sources::NONE);
        assert!(serde_json::from_str::<Sources>(r#"["speech"]"#).is_err());
    }

    #[test]
    fn a_set_is_written_by_the_names_of_its_sources_and_read_again() {
        let text = serde_json::to_string(&Sources::VIDEO).unwrap();
        assert_eq!(text, r#"["camera","screen"]"#);
        for set in [Sources::ALL, Sources::AUDIO, Sources::NONE] {
            assert_eq!(serde_json::from_str::<Sources>(&serde_json::to_string(&set).unwrap()).unwrap(), set);
        }
    }
}
