//! `bench`: our programs against the tools that people use today.
//!
//! Both sides run in one session, in alternation, as processes; medians are compared. The table goes to standard
//! output, `target/bench/report.json` to programs. Exit status: 0 the report is written (whether the targets are
//! met is said in it), 1 a bench went wrong, 2 wrong usage. No test reads a time.

mod benches;
mod child;
mod guest;
mod host;
mod machine;
mod options;
mod product;
mod report;
mod run;

use anyhow::{Context as _, Result, ensure};
use benches::{BENCHES, Bench, Session};
use machine::Machine;
use options::{Act, Options};
use report::Row;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, rest @ ..] = arguments.as_slice()
        && word == child::WORD
    {
        return finish(child::run(rest).map(|()| 0));
    }
    match options::parse(&arguments) {
        Err(words) => {
            eprintln!("bench: {words}\n{}", options::USAGE);
            ExitCode::from(2)
        }
        Ok(Act::Help) => {
            println!("{}", options::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Act::List) => {
            for bench in BENCHES {
                println!("{:<36} {}", bench.name, bench.about);
            }
            ExitCode::SUCCESS
        }
        Ok(Act::Run(options)) => finish(run_all(&options)),
    }
}

fn finish(result: Result<u8>) -> ExitCode {
    result.map_or_else(
        |error| {
            eprintln!("bench: {error:#}");
            ExitCode::from(1)
        },
        ExitCode::from,
    )
}

/// Runs what was asked for; gives the exit status.
fn run_all(options: &Options) -> Result<u8> {
    ensure!(
        !cfg!(debug_assertions),
        "this is a debug build, whose numbers mean nothing; use `make bench`"
    );
    let directory = product::target("bench");
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    eprintln!("bench: measuring the machine");
    let machine = Machine::measure(&directory, options.data_mib)?;
    let session = Session {
        pairs: options.pairs,
        data_mib: options.data_mib,
        machine,
        work: directory.clone(),
    };
    let mut rows = Vec::new();
    let mut wrong = false;
    for bench in BENCHES.iter().filter(|bench| options.wants(bench.name)) {
        eprintln!("bench: {}", bench.name);
        match (bench.run)(&session) {
            Ok(more) => rows.extend(more),
            Err(error) => {
                wrong = true;
                rows.push(failed(bench, &error));
            }
        }
        // After each bench: who stops a long run keeps what there is.
        report::write(&rows, &directory.join("report.json"))?;
    }
    print!("{}", report::table(&rows));
    println!("\n{}", session.machine.sentence());
    println!("report: {}", directory.join("report.json").display());
    Ok(u8::from(wrong))
}

fn failed(bench: &Bench, error: &anyhow::Error) -> Row {
    Row::not_run(bench.name, bench.peer, format!("error: {error:#}"))
}
