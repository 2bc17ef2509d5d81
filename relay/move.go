package relay

import (
	"io"
	"time"
)

// move takes n bytes from src to dst with flat memory, waiting on both, and
// reports each part that has arrived. It returns the error of the side that
// failed; the end of src's stream is io.EOF. Within limit, if that is not 0, dst must
// take some bytes. Bytes that were read when dst
// failed are lost, as they are in a socket's buffer.
func move(dst, src *link, n int64, limit time.Duration, progress func(int64)) (readErr, writeErr error) {
	defer dst.anyTime(limit)
	if dst.raw != nil && src.raw != nil {
		if p, err := takePipe(); err == nil {
			return splice(p, dst, src, n, limit, progress)
		} // no descriptor to spare: copy
	}
	buf := movePool.Get().(*[moveSize]byte)
	defer movePool.Put(buf)
	for n > 0 {
		got, err := src.conn.Read(buf[:min(n, moveSize)])
		if got > 0 {
			if _, err := dst.push(buf[:got], limit); err != nil {
				return nil, err
			}
			n -= int64(got)
			progress(int64(got))
		} else if err == nil {
			err = io.ErrNoProgress
		}
		if err != nil && n > 0 {
			return err, nil
		}
	}
	return nil, nil
}
