// Package wire knows the bytes of the two Pyro protocols: version 48, spoken by
// Pyro4, and version 502, spoken by Pyro5. It reads both into one neutral Head,
// walks annotation chunks, and writes the few messages a dispatcher originates.
//
// It has no sockets, no clocks and no state between calls, and it never looks
// into a call's payload. The one payload a dispatcher must read, that of
// CONNECT, is the business of package handshake.
//
// The layouts are those of Pyro4/message.py (4.82) and Pyro5/protocol.py
// (5.17); all integers are big endian.
//
//	             version 48, 24 bytes      version 502, 40 bytes
//	tag           0  "PYRO"                 0  "PYRO"
//	version       4  u16                    4  u16
//	type          6  u16                    6  u8
//	flags         8  u16                    8  u16
//	sequence     10  u16                   10  u16
//	data length  12  i32                   12  u32
//	serializer   16  u16                    7  u8
//	annotations  18  u16                   16  u32
//	correlation  (annotation CORR)         20  16 bytes
//	reserved     20  u16                   36  u16
//	check        22  sum of the fields     38  0x4DC5
package wire
