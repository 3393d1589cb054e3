//! `octelium` is what a User runs: log in, see what may be reached.

fn main() -> std::process::ExitCode {
    cli::main(cli::Program::Octelium)
}
