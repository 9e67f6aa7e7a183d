//! The text of `--help`, and the arguments of each usage line.

use crate::name::Name;

/// What follows the name in its usage line.
pub(crate) fn arguments(name: Name) -> &'static str {
    match name {
        Name::Chpst => {
            "[-vVP012] [-u user[:group]] [-U user[:group]] [-b argv0] [-e dir] [-/ root] [-C dir] \
             [-n nice] [-l|-L lock] [-m n] [-d n] [-o n] [-p n] [-f n] [-c n] [-t n] prog"
        }
        Name::Setuidgid | Name::Envuidgid => "account child",
        Name::Envdir => "dir child",
        Name::Pgrphack => "child",
        Name::Setlock => "[ -nNxX ] file program [ arg ... ]",
        Name::Softlimit => {
            "[-a allbytes] [-c corebytes] [-d databytes] [-f filebytes] [-l lockbytes] \
             [-m membytes] [-o openfiles] [-p processes] [-r residentbytes] [-s stackbytes] \
             [-t cpusecs] child"
        }
    }
}

/// The answer to `--help`.
pub(crate) fn text(name: Name) -> &'static str {
    match name {
        Name::Chpst => CHPST,
        Name::Setuidgid => SETUIDGID,
        Name::Envuidgid => ENVUIDGID,
        Name::Envdir => ENVDIR,
        Name::Softlimit => SOFTLIMIT,
        Name::Setlock => SETLOCK,
        Name::Pgrphack => PGRPHACK,
    }
}

const CHPST: &str = "\
usage: chpst [OPTION...] PROGRAM [ARG...]
       chpst --help | --version

Changes what the options say about the process, and becomes PROGRAM.

  -u USER[:GROUP...]    run as USER, with its group or with these groups
  -u :UID:GID[:GID...]  the same in numbers
  -U USER[:GROUP]       only set $UID and $GID
  -b NAME               PROGRAM gets NAME as its argument 0
  -e DIR                set variables by the files of DIR, as envdir does
  -/ ROOT               change the root directory
  -C DIR                change the working directory, after -/
  -n INC                add INC to the nice value
  -l FILE, -L FILE      lock FILE; wait for it, or fail at once
  -m BYTES, -d BYTES    limit all kinds of memory, or the data segment
  -o N, -p N            limit open files, or processes of the user
  -f BYTES, -c BYTES    limit the size of files, or of a core file
  -r BYTES, -t SECONDS  limit resident memory, or processor time
  -P                    a session, and so a process group, of its own
  -0 -1 -2              close stdin, stdout, stderr
  -v                    warn of directories in -e's DIR
  -V                    print the version and the usage on stderr

Exit codes: 100 wrong usage, 111 a change failed; else PROGRAM's. See chpst(8).
";

const SETUIDGID: &str = "\
usage: setuidgid ACCOUNT PROGRAM [ARG...]
       setuidgid --help | --version

Becomes PROGRAM as the user ACCOUNT, with its group and no other.

Exit codes: 100 wrong usage, 111 a change failed; else PROGRAM's.
See setuidgid(8).
";

const ENVUIDGID: &str = "\
usage: envuidgid ACCOUNT PROGRAM [ARG...]
       envuidgid --help | --version

Becomes PROGRAM with the numbers of the user ACCOUNT in $UID and $GID.

Exit codes: 100 wrong usage, 111 ACCOUNT is unknown or PROGRAM cannot be run;
else PROGRAM's. See envuidgid(8).
";

const ENVDIR: &str = "\
usage: envdir DIR PROGRAM [ARG...]
       envdir --help | --version

Becomes PROGRAM with the variables that DIR has: a file's name is a variable's
name, its first line the value. An empty file removes the variable.

Exit codes: 111 wrong usage, DIR cannot be read or PROGRAM cannot be run; else
PROGRAM's. See envdir(8).
";

const SOFTLIMIT: &str = "\
usage: softlimit [OPTION...] PROGRAM [ARG...]
       softlimit --help | --version

Sets soft limits and becomes PROGRAM. N is a number, or = for the hard limit.

  -m N  all kinds of memory, each: the same as -d N -s N -l N -a N
  -d N  bytes of the data segment          -s N  bytes of the stack
  -l N  bytes of locked memory             -a N  bytes of the address space
  -r N  bytes of resident memory           -o N  open files
  -p N  processes of the user              -t N  seconds of processor time
  -f N  bytes of a file                    -c N  bytes of a core file

Exit codes: 100 wrong usage, 111 a limit cannot be set or PROGRAM cannot be
run; else PROGRAM's. See softlimit(8).
";

const SETLOCK: &str = "\
usage: setlock [-nNxX] FILE PROGRAM [ARG...]
       setlock --help | --version

Locks FILE, which is made if it is missing, and becomes PROGRAM. The lock is
held as long as PROGRAM, or what it starts, has the descriptor open.

  -n  give up at once if another process has the lock    -N  wait (default)
  -x  without the lock, exit 0 in silence                -X  say why (default)

Exit codes: 100 wrong usage, 111 no lock, or PROGRAM cannot be run; else
PROGRAM's. See setlock(8).
";

const PGRPHACK: &str = "\
usage: pgrphack PROGRAM [ARG...]
       pgrphack --help | --version

Becomes PROGRAM in a session, and so in a process group, of its own.

Exit codes: 100 wrong usage, 111 PROGRAM cannot be run; else PROGRAM's.
See pgrphack(8).
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_a_terminal() {
        for (word, name) in Name::ALL {
            for line in text(name).lines() {
                assert!(line.chars().count() <= 79, "{word}: {line}");
            }
        }
    }
}
