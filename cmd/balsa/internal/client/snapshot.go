package client

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/balsa-raft/balsa/cmd/balsa/internal/cli"
)

func snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Save a copy of the whole database",
		Args:  cobra.ArbitraryArgs,
		RunE:  cli.NeedsSubcommand,
	}
	o := addOptions(cmd, formSimple)
	save := &cobra.Command{
		Use:   "save FILE",
		Short: "Save a copy of the database of the asked member, while it goes on serving",
		Long: `Save a copy of the database of one member, consistent as of one revision, while it goes on serving. The copy is checked
against its checksum, and FILE appears only when it is complete. --timeout does not apply: big databases take their time.

Nothing restores such a file yet, neither balsa nor etcdutl: it is a copy to look at, and to keep.`,
		Example: `  balsa snapshot save backup.db`,
		Args:    cobra.ExactArgs(1),
	}
	save.RunE = func(cmd *cobra.Command, args []string) error {
		return o.run(cmd, false, func(s *session) error {
			if len(s.endpoints) > 1 {
				return cli.Usagef("a snapshot is one member's: name one endpoint, not %d", len(s.endpoints))
			}
			// The stream carries its own context: it may take longer than one answer does.
			response, err := s.SnapshotWithVersion(cmd.Context())
			if err != nil {
				return err
			}
			defer response.Snapshot.Close()
			written, err := saveFile(args[0], response.Snapshot)
			if err != nil {
				return fmt.Errorf("saving the snapshot to %s: %w", args[0], err)
			}
			if s.output == formJSON {
				return s.printer.json(map[string]any{"file": args[0], "bytes": written, "version": response.Version})
			}
			return s.printer.line("Saved %s (%s, storage version %s).", args[0], size(written), response.Version)
		})
	}
	cmd.AddCommand(save)
	return cmd
}

// saveFile writes the stream beside the wanted file, checks and syncs it, and only then gives it its name: a file of that name is
// never a half one.
func saveFile(name string, r io.Reader) (written int64, err error) {
	part, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			part.Close()
			os.Remove(part.Name())
		}
	}()
	if written, err = io.Copy(part, r); err != nil {
		return 0, err
	}
	if err = verifyChecksum(part, written); err != nil {
		return 0, err
	}
	if err = part.Sync(); err != nil {
		return 0, err
	}
	if err = part.Close(); err != nil {
		return 0, err
	}
	if err = os.Rename(part.Name(), name); err != nil {
		return 0, err
	}
	return written, syncDirectory(filepath.Dir(name))
}

// verifyChecksum checks the SHA-256 that ends every snapshot. The body in front of it is padded to whole sectors of 512 bytes.
func verifyChecksum(f io.ReaderAt, size int64) error {
	if size%512 != sha256.Size {
		return fmt.Errorf("it broke off after %d bytes: no checksum at the end", size)
	}
	body := size - sha256.Size
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(f, 0, body)); err != nil {
		return err
	}
	var want [sha256.Size]byte
	if _, err := f.ReadAt(want[:], body); err != nil {
		return err
	}
	if !bytes.Equal(hash.Sum(nil), want[:]) {
		return errors.New("its checksum does not match: it was damaged on the way, try again")
	}
	return nil
}

func syncDirectory(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
