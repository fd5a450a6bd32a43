//! Whole runs, each with its end.

use evo_journal::Record;
use evo_types::{Outcome, RejectedBy};

use super::{Journal, START, crashed, duplicate, evaluated, rejected, timed, wrong};

/// Eight trials with failures and a duplicate, then the end of the search.
fn searched(journal: &mut Journal) {
    journal
        .baselines()
        .trial(64, timed(1900.0))
        .trial(32, timed(1720.0))
        .trial(33, wrong())
        .trial(128, timed(1510.0))
        .push(Record::Retried {
            trial: 3,
            attempt: 2,
            rebooted: false,
            reason: "the worker died".to_owned(),
        })
        .trial(130, rejected())
        .trial(65, duplicate(0))
        .trial(96, timed(1495.0))
        .trial(34, crashed())
        .trial(36, wrong())
        .snapshot();
}

/// A run that ended as it should.
pub(crate) fn finished(target: Option<f64>) -> Journal {
    let mut journal = Journal::kernels(target);
    searched(&mut journal);
    journal
        .confirmation(vec![
            (6, 96, timed(1502.0)),
            (3, 128, timed(1508.0)),
            (1, 32, wrong()),
            (0, 64, timed(1893.0)),
        ])
        .profiled(6)
        .diagnosed(6)
        .push(Record::Warning {
            at: START + 40.0,
            message:
                "the profiler `perf` is not permitted here: set `kernel.perf_event_paranoid` to 1"
                    .to_owned(),
        })
        .finished("all 8 trials of the budget were used");
    journal
}

/// A run whose journal says what was built: `BLOCK_M` changes the code, but not from 48 to 64,
/// `ORDER` changes the geometry, and `PAD` nothing.
pub(crate) fn built() -> Journal {
    let mut journal = Journal::kernels(None);
    journal.baselines();
    let trials = [
        (16, 1, 0, timed(1900.0), 40.0),
        (32, 1, 0, timed(1720.0), 56.0),
        (48, 1, 0, timed(1495.0), 64.0),
        (64, 1, 0, duplicate(2), 64.0),
        (16, 2, 0, timed(1850.0), 40.0),
        (16, 1, 4, duplicate(0), 40.0),
        (32, 2, 4, wrong(), 56.0),
        (32, 1, 4, duplicate(1), 56.0),
    ];
    for (block, order, pad, outcome, registers) in trials {
        let code = block.min(48).to_string();
        journal
            .trial(block, outcome)
            .with("ORDER", order.into())
            .with("PAD", pad.into())
            .built(&code, order, registers);
    }
    journal.finished("all 4 trials of the budget were used");
    journal
}

/// A run that was interrupted before its confirmation.
pub(crate) fn interrupted() -> Journal {
    let mut journal = Journal::kernels(Some(15.0));
    searched(&mut journal);
    journal.propose(40);
    journal.push(Record::Interrupted {
        at: START + 30.0,
        by: "SIGINT".to_owned(),
    });
    journal
}

/// A run in which nothing worked.
pub(crate) fn all_failed() -> Journal {
    let mut journal = Journal::kernels(Some(2.0));
    journal
        .baselines()
        .trial(64, wrong())
        .trial(32, crashed())
        .trial(33, rejected())
        .trial(34, wrong())
        .finished("all 4 trials of the budget were used");
    journal
}

/// A run on an objective.
pub(crate) fn objective() -> Journal {
    let mut journal = Journal::objective();
    journal
        .trial(64, evaluated(3.5))
        .trial(32, evaluated(2.75))
        .trial(
            128,
            Outcome::Rejected {
                by: RejectedBy::Kernel,
                reason: "not recorded".to_owned(),
            },
        )
        .trial(96, evaluated(2.5))
        .confirmation(vec![
            (3, 96, evaluated(2.5)),
            (1, 32, evaluated(2.75)),
            (0, 64, evaluated(3.5)),
        ])
        .finished("every valid configuration was proposed");
    journal
}
