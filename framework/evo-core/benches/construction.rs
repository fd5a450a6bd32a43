//! Construction of constrained spaces:
//! `cargo bench -p evo-core --bench construction -- FILE [--rounds N] [--peers PYTHON]`.
//!
//! FILE defines spaces by parameters and restrictions in Python's syntax (see
//! `evo_recorded::Definition`). A construction starts from these texts in memory and ends when the
//! space is checked, counted, and ready to be sampled uniformly: translation, parsing, planning,
//! counting. With `--peers`, Kernel Tuner and pyATF construct the same spaces in turn with us, by
//! `framework/evo-recorded/peers/construction.py`, and the counts must agree.
//!
//! The times are for people and nothing is asserted of them; a count that differs fails.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "a benchmark reads the clock, files and arguments, and prints"
)]

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Instant;

use evo_core::space::{Config, Count, Env, Radius, Space};
use evo_recorded::Definition;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const USAGE: &str = "usage: cargo bench -p evo-core --bench construction -- FILE [--rounds N] \
                     [--peers PYTHON]\nFILE defines spaces: tests/data/spaces/small.json does";

/// Partial assignments that an exact count may take.
const EFFORT: u64 = 100_000_000;

/// Configurations drawn to tell the speed of sampling.
const DRAWS: u32 = 2_000;

/// The tools that peers' answers come from.
const TOOLS: [&str; 2] = ["kernel_tuner", "pyatf"];

type Fallible<T> = Result<T, String>;

struct Options {
    file: PathBuf,
    rounds: usize,
    python: Option<String>,
}

fn options() -> Fallible<Options> {
    let (mut file, mut rounds, mut python) = (None, 5, None);
    // Cargo adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                let number = args.next().and_then(|text| text.parse().ok());
                rounds = number
                    .filter(|number| (1..=1000).contains(number))
                    .ok_or("--rounds wants a number from 1 to 1000")?;
            }
            "--peers" => python = Some(args.next().ok_or("--peers wants a Python program")?),
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}\n{USAGE}")),
            _ => file = Some(PathBuf::from(arg)),
        }
    }
    Ok(Options {
        file: file.ok_or_else(|| format!("no file of definitions is named\n{USAGE}"))?,
        rounds,
        python,
    })
}

/// Everything from texts to a space that is counted and can be sampled.
fn construct(definition: &Definition) -> Fallible<(Space, Count)> {
    let text = definition.space()?;
    let space = Space::parse(&text, &definition.name, &Env::default());
    let space = space.map_err(|errors| errors.to_string())?;
    let count = space.count(EFFORT);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    black_box(space.sample(&mut rng));
    Ok((space, count))
}

/// The process that builds spaces with other tools.
struct Peers {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peers {
    fn start(python: &str, file: &Path) -> Fallible<Self> {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../evo-recorded/peers/construction.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{python} cannot be started: {error}"))?;
        let (Some(ask), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the peers' process has no pipes".to_owned());
        };
        let mut peers = Self {
            child,
            ask,
            answers: BufReader::new(answers),
        };
        let versions = peers.line()?;
        println!("peers: {versions}");
        for tool in TOOLS {
            if versions[tool].is_null() {
                return Err(format!("{python} has no package {tool}"));
            }
        }
        Ok(peers)
    }

    fn line(&mut self) -> Fallible<serde_json::Value> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        match read {
            Ok(length) if length > 0 => serde_json::from_str(&line)
                .map_err(|error| format!("the peers' answer cannot be read: {error}")),
            _ => Err("the peers' process ended".to_owned()),
        }
    }

    /// Seconds and size of one construction.
    fn build(&mut self, tool: &str, index: usize) -> Fallible<(f64, u128)> {
        let asked = writeln!(self.ask, "{tool} {index}").and_then(|()| self.ask.flush());
        asked.map_err(|error| format!("the peers' process cannot be asked: {error}"))?;
        let answer = self.line()?;
        match (answer["seconds"].as_f64(), answer["size"].as_u64()) {
            (Some(seconds), Some(size)) => Ok((seconds, u128::from(size))),
            _ => Err(format!("{tool}: {}", answer["error"])),
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // It ends with its input; where it hangs, it is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Calls in a second.
fn rate(calls: u32, mut call: impl FnMut(u32)) -> f64 {
    let start = Instant::now();
    (0..calls).for_each(&mut call);
    f64::from(calls) / start.elapsed().as_secs_f64()
}

fn measure(
    definition: &Definition,
    index: usize,
    rounds: usize,
    peers: &mut Option<Peers>,
) -> Fallible<()> {
    let (space, count) = construct(definition)?;
    let Count::Exact(exact) = count else {
        return Err(format!("the count is no exact one: {count:?}"));
    };
    let mut own = Vec::new();
    let mut other: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(construct(black_box(definition))?);
        own.push(start.elapsed().as_secs_f64());
        let Some(peers) = peers.as_mut() else {
            continue;
        };
        for (tool, seconds) in TOOLS.iter().zip(&mut other) {
            let (taken, size) = peers.build(tool, index)?;
            if size != exact {
                return Err(format!("{tool} counts {size}, we count {exact}"));
            }
            seconds.push(taken);
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let configs: Vec<Config> = (0..DRAWS).map(|_| space.sample(&mut rng)).collect();
    let samples = rate(DRAWS, |_| {
        black_box(space.sample(&mut rng));
    });
    let near = rate(DRAWS, |call| {
        let config = configs.get(call as usize);
        black_box(config.map(|config| space.neighbours(config, Radius::Any)));
    });
    let own = median(own);
    print!(
        "{:<20} {:>12.3e} {exact:>12} {:>9.3} {samples:>11.0} {near:>11.0}",
        definition.name,
        space.raw_size() as f64,
        own * 1e3,
    );
    if peers.is_some() {
        let [kernel_tuner, pyatf] = other.map(median);
        let faster = kernel_tuner.min(pyatf);
        print!(
            " {:>12.3} {:>10.3} {:>7.1}",
            kernel_tuner * 1e3,
            pyatf * 1e3,
            faster / own
        );
    }
    println!();
    Ok(())
}

fn run() -> Fallible<()> {
    let options = options()?;
    let definitions = Definition::read_all(&options.file).map_err(|error| error.to_string())?;
    let start = |python: &String| Peers::start(python, &options.file);
    let mut peers = options.python.as_ref().map(start).transpose()?;
    print!(
        "{:<20} {:>12} {:>12} {:>9} {:>11} {:>11}",
        "space", "product", "valid", "ms", "samples/s", "neighb./s"
    );
    if peers.is_some() {
        print!(" {:>12} {:>10} {:>7}", "Kernel Tuner", "pyATF ms", "ratio");
    }
    println!();
    for (index, definition) in definitions.iter().enumerate() {
        measure(definition, index, options.rounds, &mut peers)
            .map_err(|why| format!("{}: {why}", definition.name))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}
