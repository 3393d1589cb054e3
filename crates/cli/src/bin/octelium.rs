//! `octelium` is the client for Users: it logs in and lists the Services they can reach.

fn main() -> std::process::ExitCode {
    cli::main(cli::Program::Octelium)
}
