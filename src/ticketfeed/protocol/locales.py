"""The locales of help desks, with the ids that they have on the wire: those of the generated world."""

__all__ = ["LOCALES"]

# id, locale, name, name in its own language
LOCALES = (
    (1, "en-US", "English (United States)", "English (United States)"),
    (2, "es", "Spanish", "Español"),
    (8, "de", "German", "Deutsch"),
    (10, "zh-CN", "Chinese (Simplified)", "简体中文"),
    (16, "fr", "French", "Français"),
    (19, "pt-BR", "Portuguese (Brazil)", "Português (Brasil)"),
    (27, "ru", "Russian", "Русский"),
    (66, "ar", "Arabic", "العربية"),
    (67, "ja", "Japanese", "日本語"),
    (1081, "hi", "Hindi", "हिन्दी"),
)
