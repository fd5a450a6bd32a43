//! Builds: the same twice, and the same from several threads at once.

use evo_plugin::Error;
use evo_types::{BuildRequest, ContentHash, Phase};
use evo_wire::{Breach, ConformReport, Rule};

use crate::build;
use crate::component::Kernel;
use crate::fault::outcome_of;

/// What became of one request: the identity of the build, or why there is none.
type Answer = Result<ContentHash, String>;

/// Builds all requests twice in turn, then by several threads, each in an order of its own.
pub(super) fn probe(kernel: &Kernel, requests: &[BuildRequest], threads: usize) -> ConformReport {
    let first: Vec<Answer> = requests.iter().map(|it| answer(kernel, it)).collect();
    let second: Vec<Answer> = requests.iter().map(|it| answer(kernel, it)).collect();
    let mut report = ConformReport {
        digests: first.iter().map(digest).collect(),
        ..ConformReport::default()
    };
    let differing = |other: &[Answer]| {
        let pairs = first.iter().zip(other).zip(requests);
        pairs
            .filter(|((a, b), _)| digest(a) != digest(b))
            .map(|((a, b), request)| {
                let config = evo_types::format_params(&request.config);
                format!("{config}: {} first, then {}", words(a), words(b))
            })
            .next()
    };
    if let Some(place) = differing(&second) {
        report.breaches.push(Breach {
            rule: Rule::BuildDeterministic,
            message: format!("two builds of one request in one process differ: {place}"),
        });
        return report;
    }
    for answers in concurrently(kernel, requests, threads) {
        let message = match answers {
            None => Some("a thread that built ended in a panic".to_owned()),
            Some(answers) => differing(&answers).map(|place| {
                format!("built by {threads} threads at once, a build differs: {place}")
            }),
        };
        if let Some(message) = message {
            report.breaches.push(Breach {
                rule: Rule::BuildThreadSafe,
                message,
            });
            return report;
        }
    }
    report
}

/// A kernel that several threads use at once.
#[derive(Clone, Copy)]
struct Shared<'a>(&'a Kernel);

// SAFETY: only `accept`, `build` and the description are used through it. The interface lets any
// number of threads call the first two at once; that the plugin keeps to it is what is being tried.
unsafe impl Send for Shared<'_> {}

impl<'a> Shared<'a> {
    /// By value, so that a closure takes the whole of it.
    fn get(self) -> &'a Kernel {
        self.0
    }
}

/// The answers of each thread in the order of the requests.
fn concurrently(
    kernel: &Kernel,
    requests: &[BuildRequest],
    threads: usize,
) -> Vec<Option<Vec<Answer>>> {
    let count = requests.len();
    let shared = Shared(kernel);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|offset| {
                scope.spawn(move || {
                    let kernel = shared.get();
                    let mut answers = vec![Err(String::new()); count];
                    // Each begins elsewhere, so that different requests meet, and equal ones too.
                    for step in 0..count {
                        let place = (step + offset / 2) % count;
                        if let (Some(slot), Some(request)) =
                            (answers.get_mut(place), requests.get(place))
                        {
                            *slot = answer(kernel, request);
                        }
                    }
                    answers
                })
            })
            .collect();
        running.into_iter().map(|it| it.join().ok()).collect()
    })
}

fn answer(kernel: &Kernel, request: &BuildRequest) -> Answer {
    let built = kernel.accept(request).and_then(|()| kernel.build(request));
    match built {
        Ok(built) => Ok(build::execution(kernel, &built, &request.config)),
        Err(Error::Rejected(_)) => Err("rejected".to_owned()),
        // Logs name temporary files and times; the kind alone has to be the same.
        Err(Error::BuildFailed { .. }) => Err("build failed".to_owned()),
        Err(error) => Err(outcome_of(error, Phase::Build).summary()),
    }
}

fn digest(answer: &Answer) -> ContentHash {
    match answer {
        Ok(hash) => hash.clone(),
        Err(text) => ContentHash::of_bytes(text.as_bytes()),
    }
}

fn words(answer: &Answer) -> String {
    match answer {
        Ok(hash) => format!("build {}", hash.short()),
        Err(text) => format!("`{text}`"),
    }
}
