package handovers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"invoicer/invoice/handover"
)

// The exit codes of a program that mean something, beside 0 (sysexits.h has their names).
const (
	exitRefused   = 65 // EX_DATAERR: the invoice is rejected
	exitTemporary = 75 // EX_TEMPFAIL: it is tried again, as with each other code
)

// A Program channel runs a program, without a shell, for each parcel. docs/handover.md has the contract.
type Program struct {
	// Command is the program with its arguments.
	Command []string
}

// Hand runs the program with the documents as files beside it.
func (c *Program) Hand(ctx context.Context, p *Parcel) (Answer, error) {
	return c.run(ctx, p, "hand", "")
}

// Ask runs the program without documents.
func (c *Program) Ask(ctx context.Context, p *Parcel, id string) (Answer, error) {
	return c.run(ctx, p, "ask", id)
}

func (c *Program) run(ctx context.Context, p *Parcel, action, id string) (a Answer, err error) {
	folder, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return a, errors.New("there can't be a folder for its documents")
	}
	defer os.RemoveAll(folder)
	for i := range p.Documents {
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(p.Documents[i].Name)), p.Documents[i].Content, 0o600); err != nil {
			return a, errors.New("there can't be a file for its document")
		}
	}
	stdin, err := json.Marshal(describe(p, action, id, false))
	if err != nil {
		return a, err
	}
	said, complained := bounded{most: mostAnswer}, bounded{most: 4 << 10}
	cmd := exec.CommandContext(ctx, c.Command[0], c.Command[1:]...)
	cmd.Dir, cmd.Env = folder, []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TMPDIR=" + folder, "HOME=" + folder}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &said, &complained
	cmd.WaitDelay = time.Second // for children that keep what it writes open
	inGroup(cmd)
	err = cmd.Run()
	endGroup(cmd) // what it has left behind
	if ctx.Err() != nil {
		return a, errors.New("the program didn't end in time, and was ended")
	}
	text := excerpt(complained.text)
	code := cmd.ProcessState.ExitCode() // -1 if there is none
	switch {
	case code == 0 && said.over:
		return a, fmt.Errorf("the program wrote more than %d bytes", mostAnswer)
	case code == 0: // children that it left may have kept its output open: what it said counts
		if a, err = readAnswer(said.text, handover.Sent); err != nil {
			return a, &SaidError{fmt.Sprintf("the program wrote what isn't an answer: %v", err), excerpt(said.text)}
		}
		return a, nil
	case code == exitRefused:
		if a, err = readAnswer(said.text, handover.Rejected); err != nil || said.over {
			a = Answer{Text: excerpt(said.text)}
		}
		if a.State = handover.Rejected; a.Text == "" {
			a.Text = text
		}
		return a, nil
	case code == exitTemporary:
		return a, &SaidError{"the program wants to be run again (exit code 75)", text}
	case code > 0:
		return a, &SaidError{fmt.Sprintf("the program ended with exit code %d", code), text}
	case cmd.ProcessState != nil:
		return a, &SaidError{"the program was ended by a signal", text}
	}
	return a, fmt.Errorf("the program can't be run: %w", err)
}

// A bounded buffer drops what comes after so many bytes. It has no other method by which it could be filled.
type bounded struct {
	text []byte
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := min(b.most-len(b.text), len(p))
	b.text = append(b.text, p[:room]...)
	b.over = b.over || room < len(p)
	return len(p), nil
}
