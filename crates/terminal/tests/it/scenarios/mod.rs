//! Plays every step script of `tests/terminal-scenarios` (its README has the words) against the core.

mod player;
mod script;
mod signals;

use player::Player;
use script::Scenario;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ME: &str = "rust";
const README: &str = include_str!("../../../../../tests/terminal-scenarios/README.md");

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/terminal-scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("README.md"));
    files.sort();
    files
}

fn read(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_script_in_the_folder_plays() {
    let mut failures = Vec::new();
    let mut played = 0;
    for path in files() {
        let scenario = read(&path);
        if !scenario.is_for(ME) {
            continue;
        }
        for (values, scenario) in scenario.variants() {
            played += 1;
            if let Err(error) = Player::new(&scenario).play(&scenario.steps) {
                failures.push(format!("{} {values}\n  {error}\n  holds: {}", path.display(), scenario.why));
            }
        }
    }
    assert!(played > 0 && failures.is_empty(), "of {played} failed {}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_page_of_the_scripts_has_an_example_that_plays() {
    let (_, rest) = README.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let scenario: Scenario = serde_json::from_str(example).unwrap();
    Player::new(&scenario).play(&scenario.steps).unwrap();
}

#[test]
fn a_script_that_does_not_hold_fails() {
    let play = |steps: &str| {
        let scenario: Scenario = serde_json::from_str(&format!(r#"{{"why":"x","steps":[{steps}]}}"#)).unwrap();
        Player::new(&scenario).play(&scenario.steps).map_err(|error| error.to_string())
    };
    let begin = r#"{"stands":{}},{"do":"connect"},{"signal":"invitation","invitation":"i1","meeting":"m1","from":"a"}"#;
    let table = [
        (r#"{"wait":1}"#, "ring"),
        (r#"{"shows":"ring","invitation":"i1"}"#, "ringing"),
        (r#"{"shows":"ring","invitation":"i2"}"#, "i2"),
        (r#"{"sends":"accept"}"#, "accept"),
        (r#"{"acknowledged":9}"#, "acknowledged"),
        (r#"{"dances":"well"}"#, "dances"),
    ];
    for (step, named) in table {
        let error = play(&format!("{begin},{step}")).unwrap_err();
        assert!(error.contains(named), "{step}: {error}");
    }
}

#[test]
fn nothing_but_scripts_lies_in_the_folder() {
    let names: BTreeSet<_> = files().iter().map(|path| path.extension().unwrap_or_default().to_owned()).collect();
    assert_eq!(names, BTreeSet::from(["json".into()]));
}
