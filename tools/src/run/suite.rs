//! Many scripts: found in folders, run in parallel, reported in the order of their names.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Sinks;
use super::error::Error;
use super::linux;
use super::report::Report;
use super::script::{Mark, Script};

/// How a run of many scripts went.
#[derive(Debug, serde::Serialize)]
pub struct Suite {
    /// One report a script, in the order of their names.
    pub reports: Vec<Report>,
}

impl Suite {
    /// Whether all passed.
    pub fn passed(&self) -> bool {
        self.reports.iter().all(Report::passed)
    }

    /// The reports of those that were not run.
    pub fn skipped(&self) -> impl Iterator<Item = &Report> {
        self.reports.iter().filter(|report| report.skipped.is_some())
    }

    /// The reports of those that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Report> {
        self.reports.iter().filter(|report| !report.passed())
    }
}

/// The scripts at `path`: itself if it is a file, all `*.pkt` below it if it is a folder, in the order of their names.
///
/// # Errors
/// It cannot be read, or there is none.
pub fn find(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    collect(path, &mut found)?;
    found.sort();
    if found.is_empty() { Err(Error::NoScripts(path.display().to_string())) } else { Ok(found) }
}

/// Runs scripts, several at a time; `settings` are set in each of them. Nothing is run unless all are understood.
///
/// # Errors
/// The first that cannot be read or is not understood.
pub fn run_files(files: &[PathBuf], settings: &[(String, String)], sinks: &Sinks) -> Result<Suite, Error> {
    let scripts: Vec<Script> = files.iter().map(|file| load(file, settings)).collect::<Result<_, _>>()?;
    // What is written down tells one run after another.
    let workers = match sinks {
        Sinks { capture: Some(_), .. } | Sinks { events: Some(_), .. } => 1,
        Sinks { .. } => std::thread::available_parallelism().map_or(1, usize::from),
    };
    Ok(run_all(&scripts, workers, |script| script.run(sinks)))
}

/// The same against the kernel of this machine. `only` chooses scripts by what they say about Linux.
///
/// # Errors
/// As [`run_files`].
pub fn run_files_on_linux(
    files: &[PathBuf],
    settings: &[(String, String)],
    linux: &linux::Settings,
    only: impl Fn(Option<&Mark>) -> bool,
) -> Result<Suite, Error> {
    let mut scripts: Vec<Script> = files.iter().map(|file| load(file, settings)).collect::<Result<_, _>>()?;
    scripts.retain(|script| only(script.mark()));
    let mut suite = run_all(&scripts, linux.workers, |script| script.run_on_linux(linux));
    // What many at a time were too much for gets the machine to itself.
    for (script, report) in scripts.iter().zip(&mut suite.reports) {
        if linux::is_doubtful(report, linux) {
            *report = script.run_on_linux(linux);
        }
    }
    Ok(suite)
}

/// Runs scripts, as many at a time as there are workers.
fn run_all(scripts: &[Script], workers: usize, run: impl Fn(&Script) -> Report + Sync) -> Suite {
    let next = AtomicUsize::new(0);
    let slots: Vec<Mutex<Option<Report>>> = scripts.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..workers.min(scripts.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(script), Some(slot)) = (scripts.get(index), slots.get(index)) else { return };
                    let report = run(script);
                    if let Ok(mut slot) = slot.lock() {
                        *slot = Some(report);
                    }
                }
            });
        }
    });
    let reports = slots.into_iter().filter_map(|slot| slot.into_inner().ok().flatten()).collect();
    Suite { reports }
}

fn load(file: &Path, settings: &[(String, String)]) -> Result<Script, Error> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| Error::Read(name.clone(), error))?;
    let mut script = Script::parse(&name, &text)?;
    for (key, value) in settings {
        script.set(key, value).map_err(Error::Setting)?;
    }
    Ok(script)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |error| Error::Read(folder.display().to_string(), error);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "pkt") {
            found.push(path);
        }
    }
    Ok(())
}
