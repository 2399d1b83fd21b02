"""What is typed: `%elf`, `%%elf`, their words, help and completion."""
