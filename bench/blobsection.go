//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The section of the page, which the other comparison leaves as it is.
const (
	blobsBegin = "<!-- Written by go run ./bench blobs -o docs/benchmarks.md; do not edit. -->\n"
	blobsEnd   = "<!-- End of what go run ./bench blobs writes. -->\n"
)

// blobSection is the section of blobs in a page, with its marks; empty if there is none.
func blobSection(page string) string {
	_, rest, found := strings.Cut(page, blobsBegin)
	section, _, ended := strings.Cut(rest, blobsEnd)
	if !found || !ended {
		return ""
	}
	return blobsBegin + section + blobsEnd
}

// intoPage writes the section into the page, which is to be there: in the place of the last, or behind the rest.
func (r blobReport) intoPage(path string) error {
	if path == "" {
		return nil
	}
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	old := blobSection(string(page))
	return writeFile(path, func(w io.Writer) error {
		var section strings.Builder
		if err := r.write(&section); err != nil {
			return err
		}
		rest := strings.TrimRight(strings.Replace(string(page), old, "", 1), "\n")
		_, err := fmt.Fprintf(w, "%s\n\n%s%s%s", rest, blobsBegin, &section, blobsEnd)
		return err
	})
}

// keepBlobs is a printer of a page that ends with the section of blobs that path has now.
func keepBlobs(path string, print func(io.Writer) error) func(io.Writer) error {
	return func(w io.Writer) error {
		old, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := print(w); err != nil {
			return err
		}
		_, err = io.WriteString(w, blobSection(string(old)))
		return err
	}
}
