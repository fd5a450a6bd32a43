//! What each rule asks, and how to mend a breach: for people.

use evo_wire::Rule;

/// What a rule asks, as one sentence.
pub fn asks(rule: Rule) -> &'static str {
    match rule {
        Rule::InterfaceVersion => "the file is whole, speaks this interface and can be opened",
        Rule::Descriptor => "the description is complete, consistent and always the same",
        Rule::ProblemResolves => "the problem resolves: defaults, bounds, extra shapes",
        Rule::ProblemGates => "every output has a gate that is a positive number",
        Rule::ProblemInputs => "the inputs depend on seed and distribution only",
        Rule::ProblemReference => "the reference is complete, finite and repeatable",
        Rule::SpaceValid => "the search space can be read for the problem and device",
        Rule::SpaceFitsParameters => "the space and the kernel name the same parameters",
        Rule::DefaultsValid => "the declared defaults and the space's default can be built",
        Rule::AcceptHonest => "what is out of range is refused or built, and ends nothing",
        Rule::BuildDeterministic => "the same request gives the same build, in every process",
        Rule::BuildThreadSafe => "several threads may accept and build at once",
        Rule::IdentityComplete => "what changes the result or the time changes the identity",
        Rule::RightAnswer => "the result is right on the problem as it is",
        Rule::RaggedShapes => "the result is right on the problem's extra shapes",
        Rule::AdversarialInputs => "the result is right on adversarial inputs",
        Rule::InBounds => "nothing outside the buffers is written",
        Rule::InputsUnchanged => "inputs are left as they are",
        Rule::AllWritten => "every element of every output is written",
        Rule::DeterministicAsDeclared => "launches agree bit by bit where the kernel says so",
        Rule::NoLateWrites => "nothing is written after a launch has returned",
        Rule::Stateless => "a launch depends on nothing but its buffers",
        Rule::AnyThread => "an instance works in another thread than the one that loaded it",
        Rule::MisuseAfterError => "an honest call works after errors and calls out of order",
        Rule::NoLeftovers => "threads, descriptors, processes and files do not pile up",
        Rule::Cancellation => "being killed leaves nothing that disturbs the next process",
        Rule::ObjectiveOpens => "the objective opens and has a space",
        Rule::ObjectiveMetrics => "the metrics are finite, the ranked one among them",
        Rule::ObjectiveRecovers => "an evaluation works after one that could not be done",
        Rule::ProfilerProbe => "the probe says whether the profiler can work, and it does",
        Rule::ProfilerMetrics => "the metrics have names of their own and finite values",
        Rule::ProfilerLeavesAlone => "the candidate computes the same under the profiler",
    }
}

/// How to mend a breach of a rule.
pub fn cure(rule: Rule) -> &'static str {
    match rule {
        Rule::InterfaceVersion => {
            "install what the message says is missing, or build the plugin anew against the \
             interface of this evo, for this machine; let nobody else write to the file"
        }
        Rule::Descriptor => {
            "name every part once, give each kernel the problems and devices that it is for, and \
             let nothing in a description depend on time, environment or earlier calls"
        }
        Rule::ProblemResolves => {
            "`resolve` must turn any fields within their bounds into a complete document, or refuse \
             them with a reason; list at least one extra shape and two distributions"
        }
        Rule::ProblemGates => {
            "give each output a gate: its greatest relative error, a finite number above 0"
        }
        Rule::ProblemInputs => {
            "`fill` must write every element, from nothing but seed and distribution: seed a \
             generator of your own in each call, and use no global one"
        }
        Rule::ProblemReference => {
            "compute every row that is asked for, in float64, from the inputs alone; keep the \
             ordinary inputs away from values on which the formula is not finite"
        }
        Rule::SpaceValid => "mend the space where the message points",
        Rule::SpaceFitsParameters => {
            "declare the parameter in the kernel's description, or take it out of the space"
        }
        Rule::DefaultsValid => {
            "give each parameter a default of its own type that builds together with the others"
        }
        Rule::AcceptHonest => {
            "check every parameter in `accept`: its presence, type and range; return a refusal with \
             the reason, and never panic, abort or loop on it"
        }
        Rule::BuildDeterministic => {
            "take time, dates, random numbers, addresses, counters and temporary paths out of what \
             is built (`__DATE__`, `__TIME__`, `__COUNTER__`)"
        }
        Rule::BuildThreadSafe => {
            "`accept` and `build` may run in several threads at once: use no static or shared \
             variables and no files of a fixed name"
        }
        Rule::IdentityComplete => {
            "declare a parameter that acts at launch as a run-time one, put launch geometry into \
             the artifact's `launch`, and let the artifact's bytes decide all else"
        }
        Rule::RightAnswer => "compare one small case with the reference by hand",
        Rule::RaggedShapes => {
            "handle what is left over where an extent is no multiple of the tile, or refuse such \
             shapes in `accept`"
        }
        Rule::AdversarialInputs => {
            "look at overflow, cancellation and accumulation in low precision: the inputs are \
             large, mixed in sign or nearly equal on purpose"
        }
        Rule::InBounds => {
            "check the last iteration of every loop that writes, and the size of the workspace; a \
             sanitizer or compute-sanitizer finds the line"
        }
        Rule::InputsUnchanged => {
            "work on a copy, in the workspace: inputs are read by others and used again"
        }
        Rule::AllWritten => {
            "write each element in each launch: outputs hold NaN before it, so do not add to them, \
             and do not read them first"
        }
        Rule::DeterministicAsDeclared => {
            "look for a race (a missing barrier, threads that add up in no fixed order) or for \
             uninitialised memory; if the order of additions is meant to vary, declare the kernel \
             as not deterministic"
        }
        Rule::NoLateWrites => {
            "wait for every thread before `launch` returns, and put GPU work into the given stream"
        }
        Rule::Stateless => {
            "keep no results, counters or addresses between launches, neither in static variables \
             nor in the instance; `bind` is for descriptions of addresses only"
        }
        Rule::AnyThread => "use no thread-local variables for what `load` and `bind` set up",
        Rule::MisuseAfterError => {
            "check the state and the length of what you are given, return an error, and clean up \
             before you do"
        }
        Rule::NoLeftovers => {
            "free in the destructor what `load` and `bind` took: join threads, close files, wait \
             for child processes, remove temporary files; set floating-point modes back"
        }
        Rule::Cancellation => {
            "a process may be killed at any moment: write under temporary names and rename, and \
             lock with the system's locks, which end with the process, not with files"
        }
        Rule::ObjectiveOpens => {
            "`open` must work with the defaults of its settings, or say which one is missing; bring \
             a space"
        }
        Rule::ObjectiveMetrics => {
            "return the metric that the description names, as a finite number, for every \
             configuration that can be evaluated; report the others as errors"
        }
        Rule::ObjectiveRecovers => "leave nothing behind that an error on the way out skips",
        Rule::ProfilerProbe => {
            "ask in `probe` for everything that `profile` needs, and refuse with the reason and the \
             cure where it is missing"
        }
        Rule::ProfilerMetrics => "return at least one metric, each under a name of its own",
        Rule::ProfilerLeavesAlone => "set back whatever the profiler changes in the process",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the page for authors.
    fn table() -> String {
        let mut text = "| rule | asks that | to mend a breach |\n|---|---|---|\n".to_owned();
        for rule in Rule::ALL {
            text.push_str(&format!("| `{rule}` | {} | {} |\n", asks(rule), cure(rule)));
        }
        text
    }

    #[test]
    fn the_page_for_authors_has_the_rules_as_they_are() {
        let page = include_str!("../../../evo-plugin/RULES.md");
        assert!(
            page.contains(&table()),
            "put this into RULES.md:\n{}",
            table()
        );
    }

    #[test]
    fn every_rule_says_what_it_asks_in_a_line_and_how_to_mend_it() {
        for rule in Rule::ALL {
            assert!(asks(rule).len() <= 68, "{rule}: {}", asks(rule).len());
            assert!(
                !asks(rule).ends_with('.') && !cure(rule).ends_with('.'),
                "{rule}"
            );
        }
    }
}
