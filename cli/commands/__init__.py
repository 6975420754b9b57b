"""The commands, one module each: options in, one call, the result out."""
