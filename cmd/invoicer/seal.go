package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"invoicer/internal/await"
	"invoicer/internal/seals"
	"invoicer/internal/term"
	"invoicer/invoice/postgres/audit"
)

// A sealRun is one call of the command.
type sealRun struct {
	key, keyCommand, publicKey, nextKey, to string
	wait                                    time.Duration
}

func (a app) sealCommand() *cobra.Command {
	r := &sealRun{}
	cmd := &cobra.Command{
		Use:     "seal",
		Short:   "Sign what the invoices are, into a folder outside of the database",
		GroupID: groupLook,
		Long: `Signs the heads of the chains of invoices, one for each series and period, and
writes them into a folder, with a hash of each invoice since the last seal.
'invoicer audit --seals FOLDER' then finds each invoice that was changed,
removed or put in, even if it was the database's owner who did it and computed
every chain again. What came after the last seal isn't protected yet, so seal
often, such as once a day.

The key is an Ed25519 key in PEM (PKCS #8), made by

  openssl genpkey -algorithm ed25519 -out seal-key.pem

or is anywhere else: --key-command is run by the shell, gets the message on its
standard input, and answers with the 64 bytes of the signature. Then the first
seal needs --public-key. Keep key and folder where the database's owners can
change neither. The first seal puts its public key into the folder; keep a copy
of it for --public-key.

Files of a folder are written once and never changed. The command may be
stopped at any point and run again, and only reads the database. If sealed
invoices are gone or were changed, it refuses to seal and names the series. It
writes no seal if there is no new invoice.`,
		Example: `  invoicer seal --key /secure/seal-key.pem --to /mnt/seals
  invoicer seal --key-command 'kms-sign --id seals' \
    --public-key seals.pem --to /mnt/seals
  invoicer audit --seals /mnt/seals --public-key seals.pem`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&r.key, "key", "", "sign with the private key in this `file`")
	cmd.Flags().StringVar(&r.keyCommand, "key-command", "", "sign by running this `command`")
	cmd.Flags().StringVar(&r.publicKey, "public-key", "", "the public key of the first seal, in this `file`; else the one in the folder")
	cmd.Flags().StringVar(&r.nextKey, "next-key", "", "all seals after this one will be signed with the key of which this `file` has the public one")
	cmd.Flags().StringVar(&r.to, "to", "", "the `folder` with the seals; required")
	_ = cmd.MarkFlagDirname("to") // can't fail: the flag was added above
	addWaitFlag(cmd, &r.wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return r.run(cmd, a) }
	return cmd
}

// A sealSummary is the result that --json prints.
type sealSummary struct {
	Seal     int          `json:"seal"` // 0 if none was written
	File     string       `json:"file,omitempty"`
	TakenAt  *time.Time   `json:"taken_at,omitempty"`
	Invoices int64        `json:"invoices"`
	Unlinked int64        `json:"unlinked"`
	Heads    []seals.Head `json:"heads"`
}

func (r *sealRun) run(cmd *cobra.Command, a app) error {
	if r.to == "" {
		return usageErrorf("--to is required: the folder for the seals")
	}
	if (r.key == "") == (r.keyCommand == "") {
		return usageErrorf("either --key or --key-command is required, and not both")
	}
	given, err := readPublicKey("--public-key", r.publicKey)
	if err != nil {
		return err
	}
	next, err := readPublicKey("--next-key", r.nextKey)
	if err != nil {
		return err
	}
	folder, err := seals.Open(r.to, given)
	if err != nil {
		return folderError(r.to, err)
	}
	sign, key, err := r.signer(cmd, folder)
	if err != nil {
		return err
	}
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	server, err := awaitMigrated(cmd, cfg, r.wait)
	if err != nil {
		return err
	}
	w, err := folder.Create()
	if err != nil {
		return folderError(r.to, err)
	}
	defer w.Abort()
	progress := newAuditProgress(cmd)
	defer progress.clear()
	var sealed *seals.Seal
	err = audit.Seal(cmd.Context(), audit.Options{URL: string(cfg.Database.URL), Schema: cfg.Database.Schema, Progress: progress.show}, folder, w,
		func(ctx context.Context, s audit.Snapshot) (err error) {
			if sealed, err = w.Commit(ctx, s.Database, s.TakenAt, sign, key, next); err != nil {
				err = folderError(r.to, err)
			}
			return err
		})
	progress.clear()
	if err != nil {
		return readable("seal of "+server+": ", err)
	}
	return r.print(cmd, folder, sealed)
}

// readable returns errors that explain themselves as they are, and others shortened.
func readable(what string, err error) error {
	var foreign *audit.ForeignFolderError
	var backward *audit.BackwardError
	var newer *audit.NewerSchemaError
	var folder *seals.FolderError
	var path *os.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &foreign), errors.As(err, &backward), errors.As(err, &newer),
		errors.As(err, &folder), errors.As(err, &path), errors.As(err, &link),
		errors.Is(err, seals.ErrTaken), errors.Is(err, errSign), forbidden(err):
		return err
	}
	return await.Briefly(what, err)
}

func (r *sealRun) print(cmd *cobra.Command, folder *seals.Folder, s *seals.Seal) error {
	if s == nil {
		if wantsJSON(cmd) {
			return printJSON(cmd, sealSummary{Heads: []seals.Head{}})
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "no invoices since seal %d: nothing was written\n", len(folder.Seals()))
		return err
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, sealSummary{s.Number, seals.FileName(s.Number), &s.TakenAt, s.Invoices, s.Unlinked, s.Heads})
	}
	out := cmd.OutOrStdout()
	n := int(s.Invoices)
	text := fmt.Sprintf("seal %d: %s %s of %d series and periods", s.Number, term.Thousands(n), plural(n, "invoice", "invoices"), len(s.Heads))
	if s.Unlinked > 0 {
		text += fmt.Sprintf(", %s without a link in a chain", term.Thousands(int(s.Unlinked)))
	}
	_, err := fmt.Fprintf(out, "%s, at %s\n%s\n", text, instant(s.TakenAt), filepath.Join(r.to, seals.FileName(s.Number)))
	return err
}

func readPublicKey(flag, file string) (ed25519.PublicKey, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	key, err := seals.ParsePublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %s %w", flag, file, err)
	}
	return key, nil
}

// folderError names the folder in an error about what is in it.
func folderError(folder string, err error) error {
	var wrong *seals.FolderError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s: %w", folder, err)
	}
	return err
}

var errSign = errors.New("--key-command failed")

// signer returns what signs the next seal, and the public key that belongs to it.
func (r *sealRun) signer(cmd *cobra.Command, folder *seals.Folder) (seals.Signer, ed25519.PublicKey, error) {
	if r.keyCommand != "" {
		if folder.Key() == nil {
			return nil, nil, usageErrorf("--public-key is required for the first seal with --key-command")
		}
		return func(ctx context.Context, message []byte) ([]byte, error) {
			run := exec.CommandContext(ctx, "/bin/sh", "-c", r.keyCommand)
			run.Stdin, run.Stderr = bytes.NewReader(message), cmd.ErrOrStderr()
			made, err := run.Output()
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errSign, err)
			}
			return made, nil
		}, folder.Key(), nil
	}
	text, err := os.ReadFile(r.key)
	if err != nil {
		return nil, nil, fmt.Errorf("--key: %w", err)
	}
	private, err := seals.ParsePrivateKey(text)
	if err != nil {
		return nil, nil, fmt.Errorf("--key: %s %w", r.key, err)
	}
	public := private.Public().(ed25519.PublicKey)
	if expected := folder.Key(); expected != nil && !expected.Equal(public) {
		return nil, nil, fmt.Errorf(
			"--key: %s isn't the key that the next seal in %s must be signed with: use that one, and name another by --next-key", r.key, r.to)
	}
	return func(_ context.Context, message []byte) ([]byte, error) { return ed25519.Sign(private, message), nil }, public, nil
}
