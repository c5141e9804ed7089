//! `ustack completions`: what a shell needs to complete our command lines, and the man page.

use clap::ValueEnum;
use clap_complete::Shell;

use crate::common::console;
use crate::common::failure::Outcome;

const EXAMPLES: &str = "\
Examples:
  ustack completions bash > ~/.local/share/bash-completion/completions/ustack
  ustack completions zsh > ~/.zfunc/_ustack
  ustack completions man > ~/.local/share/man/man1/ustack.1";

/// Print completions for a shell, or the man page.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to print
    #[arg(value_name = "SHELL")]
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Zsh,
    /// The manual page, of all subcommands
    Man,
}

pub(crate) fn run(args: &Args, mut command: clap::Command) -> Outcome {
    let mut out = Vec::new();
    let shell = match args.what {
        What::Bash => Some(Shell::Bash),
        What::Elvish => Some(Shell::Elvish),
        What::Fish => Some(Shell::Fish),
        What::PowerShell => Some(Shell::PowerShell),
        What::Zsh => Some(Shell::Zsh),
        What::Man => None,
    };
    match shell {
        Some(shell) => clap_complete::generate(shell, &mut command, "ustack", &mut out),
        None => man_page(command, &mut out)?,
    }
    let mut stdout = console::stdout();
    std::io::Write::write_all(&mut stdout, &out)?;
    std::io::Write::flush(&mut stdout)?;
    Ok(std::process::ExitCode::SUCCESS)
}

/// One page: the command's own, then each subcommand's.
fn man_page(mut command: clap::Command, out: &mut Vec<u8>) -> std::io::Result<()> {
    command.build();
    let subcommands: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help").cloned().collect();
    clap_mangen::Man::new(command).render(out)?;
    for subcommand in subcommands {
        let title = format!(".SH \"USTACK {}\"\n", subcommand.get_name().to_uppercase());
        out.extend_from_slice(title.as_bytes());
        let man = clap_mangen::Man::new(subcommand);
        man.render_synopsis_section(out)?;
        man.render_description_section(out)?;
        man.render_options_section(out)?;
        man.render_extra_section(out)?;
    }
    Ok(())
}
