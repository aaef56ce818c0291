"""Read models that others have published into the forms that this software scores with."""
