#!/bin/sh
# Builds bootfallback as an unsigned EFI application: build.sh OUTFILE
# Needs clang and lld-link. The same sources and tools give the same bytes, wherever they lie.
set -eu

if [ $# -ne 1 ]; then
	echo "usage: $0 OUTFILE" >&2
	exit 2
fi
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
case $1 in
/*) out=$1 ;;
*) out=$PWD/$1 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Relative names only, so that no path of this machine gets into the object.
cd "$here"
"${CLANG:-clang}" -target x86_64-unknown-windows -std=c11 -Os \
	-ffreestanding -fshort-wchar -fno-stack-protector -mno-red-zone -fno-ident \
	-fno-asynchronous-unwind-tables -fno-unwind-tables -mno-stack-arg-probe \
	-Wall -Wextra -Werror -Wconversion -Wno-sign-conversion -Wframe-larger-than=1024 \
	-c bootfallback.c -o "$work/bootfallback.o"
"${LLD_LINK:-lld-link}" /subsystem:efi_application /entry:efi_main /nodefaultlib \
	/timestamp:0 /dynamicbase /nxcompat /filealign:512 /opt:ref \
	/out:"$work/bootfallback.efi" "$work/bootfallback.o"
mv "$work/bootfallback.efi" "$out"
chmod 644 "$out"
