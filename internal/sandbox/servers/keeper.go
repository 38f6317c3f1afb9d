package servers

import (
	"bufio"
	_ "embed" // for the script
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// keeperScript is a shell script, not Go, so that it can outlive any binary that uses this package, a test's included.
//
//go:embed keeper.sh
var keeperScript string

// keeper is a process that removes a directory and ends the server in it, once this process closes or loses its pipe.
// A pipe's end is closed by the system whichever way a process goes, kill -9 included.
type keeper struct {
	directory string
	command   *exec.Cmd
	tell      *os.File // the keeper's input: the process id of the server
	alive     *os.File // inherited by all processes of the server, so that the keeper knows when the last one is gone
}

// startKeeper makes a directory below parent, which is gone again when its keeper is. The keeper ends the server with
// the named signal.
func startKeeper(parent, signal string) (*keeper, error) {
	input, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer input.Close()
	done, alive, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, tell.Close())
	}
	defer done.Close()

	//nolint:noctx // it outlives every context
	command := exec.Command("/bin/sh", "-c", keeperScript, "keeper", parent, signal)
	command.Dir = "/"
	command.Stdin = input
	command.ExtraFiles = []*os.File{done}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no Ctrl-C reaches it
	k := &keeper{command: command, tell: tell, alive: alive}
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the keeper: %w", err), tell.Close(), alive.Close())
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("no temporary directory could be made below %s", parent), k.close())
	}
	k.directory = strings.TrimSuffix(line, "\n")
	return k, nil
}

// start runs a server, or a program that prepares one, as a process of its own session: no Ctrl-C reaches it either. It
// reports its process id to the keeper itself before it becomes the program, so there is no instant at which this
// process could die and leave it behind.
func (k *keeper) start(program string, args []string, as *account) (*process, error) {
	log, err := os.OpenFile(k.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	gone, living, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer living.Close()

	//nolint:noctx // the context of a start is not that of the server's life
	command := exec.Command("/bin/sh", append([]string{"-c", `echo $$ >&3 && exec "$@" 3>&-`, "sh", program}, args...)...)
	command.Dir = k.directory
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + k.directory, "LC_ALL=C", "TZ=UTC"}
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = []*os.File{k.tell, k.alive, living}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: as.credential()}
	if err := command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s%s: %w", program, as.who(), err), gone.Close())
	}
	return &process{command: command, gone: gone}, nil
}

// forget tells the keeper that the process it was told of is no more, so that it never signals a stranger who was given
// the same process id.
func (k *keeper) forget() error {
	_, err := k.tell.WriteString("\n")
	return err
}

// close ends the server, removes the directory and returns when both are done.
func (k *keeper) close() error {
	return errors.Join(k.tell.Close(), k.alive.Close(), k.command.Wait())
}

func (k *keeper) logFile() string { return k.directory + "/log" }

// lastWords returns the end of what the server wrote.
func (k *keeper) lastWords() string {
	log, err := os.ReadFile(k.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
