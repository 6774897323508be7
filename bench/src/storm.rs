//! Terminals that lose their connections at once, connect again at once, and ask for their state.

use crate::crowd::{Crowd, Happened, Seen};
use crate::figures::Latencies;
use crate::usage::{Quiet, Usage};
use anyhow::Result;
use demo::Stage;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

const BAR: Duration = Duration::from_secs(10);
/// As a terminal does.
const ASKS_AGAIN_AFTER: Duration = Duration::from_secs(10);
const CONNECTS_AGAIN_AFTER: Duration = Duration::from_millis(500);
const GIVE_UP_AFTER: Duration = Duration::from_secs(180);
const QUIET_WITHIN: Duration = Duration::from_secs(180);
/// On their way at a time when all connect for the first time.
const AT_ONCE: usize = 200;

pub(crate) fn measure(folder: &Path, program: &Path, terminals: usize, rest: Duration) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut stage = Stage::new(folder, program, &[])?;
    runtime.block_on(stage.start_server())?;
    let users: Vec<String> = (0..terminals).map(|n| format!("user-{n:05}")).collect();
    let mut crowd = Crowd::register(&runtime, &stage, &users)?;
    crowd.connect_all(AT_ONCE)?;
    receive_until_quiet(&mut crowd, &stage)?;
    let rested = Instant::now();
    while rested.elapsed() < rest {
        crowd.turn(Duration::from_millis(100))?;
    }

    let before = Usage::of(&stage)?;
    let mut storm = Storm::begin(&mut crowd)?;
    storm.run(&mut crowd)?;
    let took = storm.began.elapsed();
    let at_the_end = Usage::of(&stage)?.since(&before);
    receive_until_quiet(&mut crowd, &stage)?;
    let in_all = Usage::of(&stage)?.since(&before);

    println!("reconnect storm of {terminals} terminals, over after {:.1} s", took.as_secs_f64());
    println!("  connected:    {}, last {:.0} ms", storm.connected.describe(), storm.connected.percentile_ms(1.0));
    println!("  synchronised: {}, last {:.0} ms", storm.answered.describe(), storm.answered.percentile_ms(1.0));
    println!(
        "  lost a connection again {}, refused {}, asked again {}, never synchronised {}",
        storm.lost,
        storm.refused,
        storm.asked_again,
        storm.missing()
    );
    if storm.lost > 0 {
        println!("  the last connection was lost because: {}", storm.lost_because);
    }
    println!("  up to the last answer: {}", at_the_end.describe());
    println!("  with what came after:  {}", in_all.describe());
    println!("  bar: all within {} s, none refused; here {}", BAR.as_secs(), storm.verdict());
    runtime.block_on(stage.stop_server())?;
    Ok(())
}

/// Takes what comes until the server writes nothing more.
fn receive_until_quiet(crowd: &mut Crowd, stage: &Stage) -> Result<()> {
    let (mut quiet, began) = (Quiet::of(stage)?, Instant::now());
    while !quiet.is_quiet()? && began.elapsed() < QUIET_WITHIN {
        crowd.turn(Duration::from_millis(100))?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Terminal {
    Connecting,
    /// Its question is on the way since then.
    Asking(Instant),
    /// Its connection was ended then.
    Down(Instant),
    Synchronised,
}

struct Storm {
    began: Instant,
    terminals: Vec<Terminal>,
    connected: Latencies,
    answered: Latencies,
    lost: u32,
    lost_because: String,
    refused: u32,
    asked_again: u32,
}

impl Storm {
    fn begin(crowd: &mut Crowd) -> Result<Self> {
        let began = Instant::now();
        (0..crowd.len()).for_each(|who| crowd.cut(who));
        for who in 0..crowd.len() {
            crowd.connect(who)?;
        }
        Ok(Self {
            began,
            terminals: vec![Terminal::Connecting; crowd.len()],
            connected: Latencies::default(),
            answered: Latencies::default(),
            lost: 0,
            lost_because: String::new(),
            refused: 0,
            asked_again: 0,
        })
    }

    fn run(&mut self, crowd: &mut Crowd) -> Result<()> {
        while self.missing() > 0 && self.began.elapsed() < GIVE_UP_AFTER {
            for happened in crowd.turn(Duration::from_millis(50))? {
                self.take(crowd, happened)?;
            }
            self.try_again(crowd)?;
        }
        Ok(())
    }

    fn take(&mut self, crowd: &mut Crowd, Happened { who, at, what }: Happened) -> Result<()> {
        match what {
            Seen::Connected => {
                self.connected.push(at - self.began);
                self.ask(crowd, who)?;
            }
            Seen::Lost(words) => {
                self.lost += 1;
                self.lost_because = words;
                self.terminals[who] = Terminal::Down(at);
            }
            Seen::Signal { kind, .. } if kind == "refused" => self.refused += 1,
            Seen::Signal { kind, .. } if kind == "state" && !self.is_synchronised(who) => {
                self.answered.push(at - self.began);
                self.terminals[who] = Terminal::Synchronised;
            }
            Seen::Signal { .. } => {}
        }
        Ok(())
    }

    fn ask(&mut self, crowd: &mut Crowd, who: usize) -> Result<()> {
        if self.is_synchronised(who) {
            return Ok(());
        }
        self.terminals[who] = Terminal::Asking(Instant::now());
        crowd.send(who, "state", None, json!({}))
    }

    fn try_again(&mut self, crowd: &mut Crowd) -> Result<()> {
        for who in 0..self.terminals.len() {
            match self.terminals[who] {
                Terminal::Asking(since) if since.elapsed() >= ASKS_AGAIN_AFTER => {
                    self.asked_again += 1;
                    self.ask(crowd, who)?;
                }
                Terminal::Down(since) if since.elapsed() >= CONNECTS_AGAIN_AFTER => {
                    self.terminals[who] = Terminal::Connecting;
                    crowd.connect(who)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_synchronised(&self, who: usize) -> bool {
        matches!(self.terminals[who], Terminal::Synchronised)
    }

    fn missing(&self) -> usize {
        self.terminals.len() - self.answered.count()
    }

    fn verdict(&mut self) -> &'static str {
        let in_time = self.missing() == 0 && self.answered.percentile_ms(1.0) <= BAR.as_secs_f64() * 1e3;
        if in_time && self.refused == 0 && self.lost == 0 { "met" } else { "missed" }
    }
}
